import type { CancelReceipt } from '../../api/types';

export function ReceiptLine({ receipt }: { receipt: CancelReceipt }) {
  const kept = Array.isArray(receipt.artifacts_kept) ? receipt.artifacts_kept.length : (receipt.artifacts_kept ?? 0);
  const survivors = receipt.survivors ?? 0;
  const unreachable = receipt.unreachable_hosts ?? [];
  return (
    <dl className="receipt" aria-label="Cancel receipt">
      <div><dt>Processes killed</dt><dd>{receipt.processes_killed ?? 0}</dd></div>
      <div><dt>Survivors</dt><dd className={survivors > 0 ? 'text-bad' : undefined}>{survivors}</dd></div>
      <div><dt>Artifacts kept</dt><dd>{kept}</dd></div>
      <div><dt>Cost</dt><dd>${(receipt.cost_usd ?? 0).toFixed(2)}</dd></div>
      {unreachable.length > 0 && <div><dt>Hosts that did not answer</dt><dd className="text-bad">{unreachable.join(', ')}</dd></div>}
    </dl>
  );
}
