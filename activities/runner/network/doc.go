// Package network is the network of a step that has one: a small router in the step's
// supervisor, made of gVisor's TCP and IP in user space.
//
// The step has a network namespace of its own, with one device whose frames come here. Each
// connection that the step opens is looked at by [policy] before anything is dialled: never the
// host itself, whatever address it has, never link-local and metadata addresses, never what
// belongs to the product; with an allow-list, only what is on it. What passes is dialled by the
// supervisor with the host's own sockets. The step's resolver is here, too: its answers say
// which addresses the names of an allow-list have.
//
// What a step sends is bounded: connections and what waits in them have fixed bounds, and
// beyond them new ones are refused.
//
// Imports: schema.
// Imported by: activities/runner/supervisor.
package network
