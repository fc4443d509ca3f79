export { HoldfastClient } from './client.js';
export type { ClientOptions, SubscribeOptions, Subscription, SubscriptionHandlers } from './client.js';
export type { SocketLike } from './connection.js';
export { backoff, onClose, Reconnect, retryAfter } from './policy.js';
export type { CloseAction, Closed, Next } from './policy.js';
export { CommandError } from './types.js';
export type { ClientFrame, ConnectionState, ConnectionStatus, Deletion, EventFrame, Health, Hole, Identity, PartState, Presence, ServerFrame, Viewer } from './types.js';
