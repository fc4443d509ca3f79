package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// printer prints what a session's steps print, and approves what it is asked.
type printer struct {
	client *client.Client
}

// Event is called with each event once, in order, whatever happens to the connection.
func (p *printer) Event(e schema.Event, _ []byte, _ bool) {
	switch e.Type {
	case schema.EventOutput:
		var data schema.OutputData
		if err := json.Unmarshal(e.Data, &data); err == nil {
			fmt.Print(e.Seq, " ", data.Text)
		}
	case schema.EventApprovalRequested:
		var data schema.ApprovalRequestedData
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return
		}
		fmt.Println(e.Seq, "asks:", data.Description)
		if _, err := p.client.ResolveApproval(context.Background(), data.ApprovalID, wire.ResolveRequest{Resolution: schema.ResolutionApproved}); err != nil {
			fmt.Println(err)
		}
	default:
		fmt.Println(e.Seq, e.Type)
	}
}

func (p *printer) CaughtUp()                        {}
func (p *printer) Lost(why string, _ time.Duration) { fmt.Println("lost the connection:", why) }
func (p *printer) Back()                            { fmt.Println("it is back") }

// A session is followed to the end of its run. The connection may break meanwhile: no event is missed or comes twice.
func ExampleClient_Watch() {
	server := playServer()
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()
	ctx := context.Background()
	created, err := c.CreateSession(ctx, wire.NewSession{Mode: schema.ModeRunbook, Plan: []byte(plan)}, "key")
	if err != nil {
		fmt.Println(err)
		return
	}

	status, err := c.Watch(ctx, created.Value.ID, client.Follow{First: true}, &printer{c})
	fmt.Println(status, err)
	// Output:
	// 1 workflow_started
	// 2 asks: Run step publish: Publish the model
	// 3 approval_received
	// 4 published
	// 5 workflow_completed
	// completed <nil>
}
