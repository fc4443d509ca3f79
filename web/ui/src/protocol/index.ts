export { ProtocolClient } from './client';
export type { ClientOptions, SocketLike, Subscription, SubscriptionHandlers } from './client';
export { CommandError } from './types';
export type { ClientFrame, ConnectionState, ConnectionStatus, EventFrame, ServerFrame } from './types';
