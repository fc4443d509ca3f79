export { HoldfastClient } from './client.js';
export type { ClientOptions, CommandAnswer, ListFrame, SubscribeOptions, Subscription, SubscriptionHandlers } from './client.js';
export type { SocketLike } from './connection.js';
export { backoff, onClose, Reconnect, retryAfter } from './policy.js';
export type { CloseAction, Closed, Next } from './policy.js';
export { CommandError } from './types.js';
export type {
  ClientFrame, Command, ConnectionState, ConnectionStatus, EventOf, FrameOf, Health, Hole, Identity, PartState, Presence, Schemas, ServerFrame, StoredEvent,
  TransientFrame, Viewer,
} from './types.js';
