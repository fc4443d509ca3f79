export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="20" height="20" fill="none" stroke="currentColor" strokeWidth="3.2" strokeLinecap="round" strokeLinejoin="round" aria-hidden>
      <path d="M16 5v21M16 14c0-5-4-5-6-8M16 18c0-5 4-5 6-8M8 27c2-5 8-3 8-7 0 4 6 2 8 7" />
    </svg>
  );
}
