// Package wire tests what goes over the wire, with stubs of the protocol and no client in between:
// region errors, placement's answers, streams of commands, and input that no client would send.
package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"google.golang.org/grpc"

	"rutile/tests/clients/cluster"
)

var servers *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.Main(m, func(c *cluster.Cluster) { servers = c }))
}

// callTimeout bounds each single call.
const callTimeout = 10 * time.Second

func callContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := cluster.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func key(t *testing.T, format string, args ...any) []byte {
	return []byte(t.Name() + "/" + fmt.Sprintf(format, args...))
}

// target is a region with one peer of it, and the store where that peer lives.
type target struct {
	route *cluster.Route
	peer  *metapb.Peer
	conn  *grpc.ClientConn
	tikv  tikvpb.TikvClient
}

// context is what a correct client would send.
func (s *target) context() *kvrpcpb.Context { return s.route.Context(s.peer) }

// placementRoute waits until placement knows a region of three peers with a leader.
func placementRoute(t *testing.T) *cluster.Route {
	t.Helper()
	var route *cluster.Route
	cluster.Eventually(t, 15*time.Second, func() (err error) {
		route, err = servers.Route(callContext(t), []byte(t.Name()))
		if err == nil && len(route.Region.Peers) != len(servers.Nodes) {
			err = fmt.Errorf("the region has %d peers", len(route.Region.Peers))
		}
		return err
	})
	return route
}

// leader finds the leader of the test's keys and checks by a read that it is one.
func leader(t *testing.T) *target {
	t.Helper()
	var found *target
	cluster.Eventually(t, 15*time.Second, func() error {
		route := placementRoute(t)
		conn := dial(t, route.LeaderNode.Addr)
		found = &target{route, route.Leader, conn, tikvpb.NewTikvClient(conn)}
		answer, err := found.tikv.RawGet(callContext(t),
			&kvrpcpb.RawGetRequest{Context: found.context(), Key: []byte(t.Name())})
		if err == nil && answer.RegionError != nil {
			err = errors.New(answer.RegionError.String())
		}
		return err
	})
	return found
}

// follower is a peer of the test's region that does not lead it.
func follower(t *testing.T) *target {
	t.Helper()
	route := leader(t).route
	peer := route.Follower()
	node, err := servers.NodeOf(callContext(t), peer)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, node.Addr)
	return &target{route, peer, conn, tikvpb.NewTikvClient(conn)}
}

func (s *target) put(t *testing.T, key, value []byte) {
	t.Helper()
	answer, err := s.tikv.RawPut(callContext(t),
		&kvrpcpb.RawPutRequest{Context: s.context(), Key: key, Value: value})
	if err != nil || answer.RegionError != nil || answer.Error != "" {
		t.Fatalf("put %q: %v, %v", key, answer, err)
	}
}

// expect checks a value through the region's leader; nil: the key does not exist.
func expect(t *testing.T, key, want []byte) {
	t.Helper()
	l := leader(t)
	answer, err := l.tikv.RawGet(callContext(t),
		&kvrpcpb.RawGetRequest{Context: l.context(), Key: key})
	if err != nil || answer.RegionError != nil || answer.Error != "" {
		t.Fatalf("get %q: %v, %v", key, answer, err)
	}
	if answer.NotFound != (want == nil) || string(answer.Value) != string(want) {
		t.Fatalf("get %q: %q (missing: %v), want %q", key, answer.Value, answer.NotFound, want)
	}
}

// getRegionError reads with `context` and returns the region error that must come back.
func getRegionError(t *testing.T, s *target, context *kvrpcpb.Context, key []byte) *errorpb.Error {
	t.Helper()
	answer, err := s.tikv.RawGet(callContext(t),
		&kvrpcpb.RawGetRequest{Context: context, Key: key})
	if err != nil {
		t.Fatalf("region errors travel in answers, not as a status: %v", err)
	}
	if answer.RegionError == nil {
		t.Fatalf("no region error in %v", answer)
	}
	if answer.RegionError.Message == "" {
		t.Errorf("the region error has no message for people: %v", answer.RegionError)
	}
	return answer.RegionError
}

func header(clusterID uint64) *pdpb.RequestHeader {
	return &pdpb.RequestHeader{ClusterId: clusterID}
}
