import { memo } from 'react';
import { piecesOf } from '../lib/hidden';

// A text from a plan or a program, with invisible characters named.
export const Pieces = memo(function Pieces({ text }: { text: string }) {
  return piecesOf(text).map((piece, index) =>
    typeof piece === 'string' ? piece : <span key={index} className="hidden-char" title="An invisible character">{piece.code}</span>,
  );
});
