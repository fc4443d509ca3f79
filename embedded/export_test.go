package embedded

import (
	"context"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// HTTPDoors are a server's ports that speak HTTP to anyone, except the guarded one.
func HTTPDoors(t *Temporal) []string { return []string{address(t.httpPort)} }

// InnerUI is where the Web UI itself listens.
func InnerUI(t *Temporal) string { return t.ui }

// HasNamespace asks a server for a namespace.
func HasNamespace(ctx context.Context, t *Temporal, name string) bool {
	connection, err := client.Dial(client.Options{HostPort: t.Addr()})
	if err != nil {
		return false
	}
	defer connection.Close()
	_, err = connection.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: name})
	return err == nil
}
