import type { CancelReceipt } from '../../api/types';

export function ReceiptLine({ receipt }: { receipt: CancelReceipt }) {
  const unreachable = receipt.unreachable_hosts ?? [];
  return (
    <dl className="receipt" aria-label="Cancel receipt">
      <div><dt>Processes killed</dt><dd>{receipt.processes_killed}</dd></div>
      <div><dt>Survivors</dt><dd className={receipt.survivors > 0 ? 'text-bad' : undefined}>{receipt.survivors}</dd></div>
      <div><dt>Artifacts kept</dt><dd>{receipt.artifacts_kept}</dd></div>
      <div><dt>Cost</dt><dd>${receipt.cost_usd.toFixed(2)}</dd></div>
      {unreachable.length > 0 && <div><dt>Hosts that did not answer</dt><dd className="text-bad">{unreachable.join(', ')}</dd></div>}
    </dl>
  );
}
