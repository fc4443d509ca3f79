// Package network is the network of a step that has one: a small router in the step's
// supervisor, made of gVisor's TCP and IP in user space.
//
// The step has its own network namespace, with one device whose frames come here. [policy] checks
// each connection that the step opens before anything is dialled. A step never reaches the host
// itself, at any address, nor link-local and metadata addresses, nor the product's own services;
// with an allow-list, it reaches only what is on it. The supervisor dials allowed connections with
// the host's own sockets. The step's resolver is here too: its answers say which addresses the
// names of an allow-list have.
//
// A step's traffic is bounded: connections and their buffers have fixed limits, beyond which new
// ones are refused.
//
// Imports: schema.
// Imported by: activities/runner/supervisor.
package network
