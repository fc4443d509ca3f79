import { Skeleton } from '@mantine/core';

export function PageSkeleton() {
  return (
    <div className="page" role="status" aria-label="Loading">
      <Skeleton h={24} w={220} mb={20} />
      <Skeleton h={44} mb={8} />
      <Skeleton h={44} mb={8} />
      <Skeleton h={44} mb={8} />
    </div>
  );
}
