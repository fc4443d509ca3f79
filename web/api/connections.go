package api

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/presence"
)

type connectionsInput struct {
	All bool `query:"all" doc:"Those of every instance, as Postgres has them"`
}

func (s *Service) listConnections(ctx context.Context, in *connectionsInput) (*body[wire.ConnectionList], error) {
	list := wire.ConnectionList{
		MaxConnections: s.Limits.All, MaxPerUser: s.Limits.PerUser, MaxPerAddress: s.Limits.PerAddress,
		Instance: s.Instance, Connections: []wire.ConnectionInfo{},
	}
	if in.All {
		if err := s.everywhere(ctx, &list); err != nil {
			return nil, err
		}
	} else {
		s.here(&list)
	}
	list.ActiveConnections = len(list.Connections)
	return &body[wire.ConnectionList]{Body: list}, nil
}

// here adds the connections of this instance, the oldest first.
func (s *Service) here(list *wire.ConnectionList) {
	all := s.Registry.All()
	slices.SortFunc(all, func(a, b *presence.Member) int { return a.ConnectedAt.Compare(b.ConnectedAt) })
	for _, m := range all {
		sessions, watchesList, lag := m.Conn.Watched()
		if sessions == nil {
			sessions = []string{}
		}
		list.Connections = append(list.Connections, wire.ConnectionInfo{
			ID: m.ID, Instance: s.Instance, ClientID: m.ClientID, User: m.User, Address: m.Address, Sessions: sessions, List: watchesList,
			ConnectedAt: schema.Time{Time: m.ConnectedAt}, AgeSeconds: time.Since(m.ConnectedAt).Seconds(), LastActivity: schema.Time{Time: m.Conn.LastHeard()}, Lag: lag,
		})
	}
}

// everywhere adds the connections of all instances.
func (s *Service) everywhere(ctx context.Context, list *wire.ConnectionList) error {
	instances, err := s.Store.Instances(ctx)
	if err != nil {
		return err
	}
	all, err := s.Store.Connections(ctx)
	if err != nil {
		return err
	}
	for _, i := range instances {
		list.Instances = append(list.Instances, wire.InstanceInfo{Instance: i.ID, StartedAt: i.StartedAt, LastHeartbeat: i.LastHeartbeat})
	}
	for i := range all {
		c := &all[i]
		list.Connections = append(list.Connections, wire.ConnectionInfo{
			ID: c.ID, Instance: c.ServerInstance, ClientID: c.ClientID, User: c.User, Address: c.Address, Sessions: c.Sessions,
			ConnectedAt: c.ConnectedAt, AgeSeconds: time.Since(c.ConnectedAt.Time).Seconds(), LastActivity: c.LastActivity, Lag: c.Lag,
		})
	}
	return nil
}
