import { Button, Group } from '@mantine/core';
import type { Decision } from '../../api/endpoints';
import { Pieces } from '../../components/Pieces';

interface Props {
  options: readonly string[];
  own: string; // what was typed
  busy: Decision | null; // what is being sent
  disabled: boolean;
  unread: boolean; // what it is about is not shown in full: only a no is possible
  onDecide: (decision: Decision) => void;
}

// The answers to a program that offered options: one of them, other words, or a
// no.
export function AskAnswer({ options, own, busy, disabled, unread, onDecide }: Props) {
  const button = (label: string, decision: Decision, props: { variant: string; color?: string; disabled?: boolean }) => {
    const sending = busy !== null && busy.resolution === decision.resolution && busy.feedback === decision.feedback;
    return (
      <Button key={label} {...props} disabled={disabled || props.disabled || (busy !== null && !sending)} loading={sending} onClick={() => onDecide(decision)}>
        <Pieces text={label} />
      </Button>
    );
  };
  return (
    <>
      <Group gap="xs" role="group" aria-label="Answers" className="answers">
        {options.map((option) => button(option, { resolution: 'approved', feedback: option }, { variant: 'filled', disabled: unread }))}
      </Group>
      <Group gap="xs">
        {button('Send own answer', { resolution: 'approved', feedback: own.trim() }, { variant: 'default', disabled: unread || own.trim() === '' })}
        {button('Reject', { resolution: 'rejected', feedback: own }, { variant: 'outline', color: 'red' })}
      </Group>
    </>
  );
}
