package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/pingcap/log"
	"github.com/tikv/client-go/v2/config"
	"github.com/tikv/client-go/v2/rawkv"
	"github.com/tikv/client-go/v2/txnkv"
)

// Main runs a package's tests against a fresh cluster of the server that RUTILE_BINARY names; the
// cluster is handed to `use` first. Logs and data are kept when anything failed. It is what a
// TestMain calls with os.Exit.
func Main(m *testing.M, use func(*Cluster)) int {
	flag.Parse()
	Quiet()
	binary := os.Getenv("RUTILE_BINARY")
	if binary == "" {
		fmt.Fprintln(os.Stderr, "RUTILE_BINARY names no server; tests/clients/run sets it")
		return 2
	}
	c, err := Start(context.Background(), binary)
	if err != nil {
		fmt.Fprintf(os.Stderr, "--- FAIL: cluster start: %v\n", err)
		return 1
	}
	defer c.KillAll()
	use(c)
	code := m.Run()
	if err := c.Stop(code != 0); err != nil {
		fmt.Fprintf(os.Stderr, "--- FAIL: cluster stop: %v\n", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprint(os.Stderr, c.LogTails())
	}
	return code
}

// Quiet lowers the client's own log to errors: it reports every retry otherwise.
func Quiet() {
	logger, props, err := log.InitLogger(&log.Config{Level: "fatal"})
	if err == nil {
		log.ReplaceGlobals(logger, props)
	}
}

// defaultKeyspace is there in every cluster with keyspaces.
const defaultKeyspace = "DEFAULT"

// Client opens a client of the cluster, of its default keyspace if it has keyspaces, and closes it
// with the test. Options come on top.
func (c *Cluster) Client(t testing.TB, opts ...rawkv.ClientOpt) *rawkv.Client {
	t.Helper()
	return c.ClientAt(t, c.Endpoints(), opts...)
}

// ClientAt is Client with some of the endpoints.
func (c *Cluster) ClientAt(t testing.TB, endpoints []string,
	opts ...rawkv.ClientOpt) *rawkv.Client {
	t.Helper()
	if c.HasKeyspaces() {
		opts = append([]rawkv.ClientOpt{
			rawkv.WithAPIVersion(c.API), rawkv.WithKeyspace(defaultKeyspace)}, opts...)
	}
	opts = append(opts, rawkv.WithSecurity(config.GetGlobalConfig().Security))
	client := start(t, func() (*rawkv.Client, error) {
		return rawkv.NewClientWithOpts(t.Context(), endpoints, opts...)
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// TxnClient opens a client for transactions, as Client does one for raw keys.
func (c *Cluster) TxnClient(t testing.TB, opts ...txnkv.ClientOpt) *txnkv.Client {
	t.Helper()
	if c.HasKeyspaces() {
		opts = append([]txnkv.ClientOpt{
			txnkv.WithAPIVersion(c.API), txnkv.WithKeyspace(defaultKeyspace)}, opts...)
	}
	client := start(t, func() (*txnkv.Client, error) {
		return txnkv.NewClient(c.Endpoints(), opts...)
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// start opens a client. It asks for its first timestamp meanwhile, which it does only once: the
// stream of timestamps is given up where placement's leader changes just then, as after a node was
// killed.
func start[Client any](t testing.TB, open func() (Client, error)) (client Client) {
	t.Helper()
	Eventually(t, 5*time.Second, func() (err error) {
		client, err = open()
		return err
	})
	return client
}

// Eventually tries `attempt` until it returns nil, and fails the test with its last error after
// `limit`.
func Eventually(t testing.TB, limit time.Duration, attempt func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := attempt()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
