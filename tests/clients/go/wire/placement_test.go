package wire

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"rutile/tests/clients/cluster"
)

// placement connects to placement's leader.
func placement(t *testing.T) (pdpb.PDClient, *cluster.Route) {
	t.Helper()
	route := placementRoute(t)
	return pdpb.NewPDClient(dial(t, route.PlacementLeader.Addr)), route
}

func checkHeader(t *testing.T, what string, h *pdpb.ResponseHeader, clusterID uint64) {
	t.Helper()
	if h == nil || h.ClusterId != clusterID || h.Error != nil {
		t.Errorf("%s: header %v, want cluster %d and no error", what, h, clusterID)
	}
}

func TestEveryNodeTellsTheSameMembers(t *testing.T) {
	_, route := placement(t)
	for _, node := range servers.Nodes {
		pd := pdpb.NewPDClient(dial(t, node.Addr))
		answer, err := pd.GetMembers(callContext(t), &pdpb.GetMembersRequest{})
		if err != nil {
			t.Fatalf("%s: %v", node.Name, err)
		}
		checkHeader(t, node.Name, answer.Header, route.ClusterID)
		ids, addrs := map[uint64]bool{}, map[string]bool{}
		leaderIsMember := false
		for _, member := range answer.Members {
			ids[member.MemberId] = true
			for _, text := range member.ClientUrls {
				u, err := url.Parse(text)
				if err != nil || u.Scheme != "http" {
					t.Errorf("%s: the client URL %q is none", node.Name, text)
					continue
				}
				addrs[u.Host] = true
			}
			leaderIsMember = leaderIsMember || member.String() == answer.Leader.String()
		}
		if len(ids) != 3 || ids[0] || len(addrs) != 3 {
			t.Errorf("%s: members %v", node.Name, answer.Members)
		}
		if !leaderIsMember {
			t.Errorf("%s: leader %v is none of %v", node.Name, answer.Leader, answer.Members)
		}
		for _, n := range servers.Nodes {
			if !addrs[n.Addr] {
				t.Errorf("%s: %s is missing from %v", node.Name, n.Addr, addrs)
			}
		}
	}
}

func TestClusterIsInPlacementMode(t *testing.T) {
	pd, route := placement(t)
	answer, err := pd.GetClusterInfo(callContext(t), &pdpb.GetClusterInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, "GetClusterInfo", answer.Header, route.ClusterID)
	if len(answer.ServiceModes) == 0 || answer.ServiceModes[0] != pdpb.ServiceMode_PD_SVC_MODE {
		t.Errorf("service modes %v", answer.ServiceModes)
	}
}

func TestEveryNodeIsHealthy(t *testing.T) {
	for _, node := range servers.Nodes {
		answer, err := grpc_health_v1.NewHealthClient(dial(t, node.Addr)).Check(callContext(t),
			&grpc_health_v1.HealthCheckRequest{})
		if err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%s: %v, %v", node.Name, answer, err)
		}
	}
}

func checkRegion(t *testing.T, what string, region *metapb.Region, leader *metapb.Peer,
	route *cluster.Route) {
	t.Helper()
	if region.GetId() != route.Region.Id {
		t.Errorf("%s: region %v, want %v", what, region, route.Region)
		return
	}
	if region.RegionEpoch.GetVersion() == 0 || region.RegionEpoch.GetConfVer() == 0 {
		t.Errorf("%s: epoch %v", what, region.RegionEpoch)
	}
	stores, leads := map[uint64]bool{}, false
	for _, peer := range region.Peers {
		stores[peer.StoreId] = true
		leads = leads || peer.Id == leader.GetId() && peer.StoreId == leader.GetStoreId()
	}
	if len(stores) != 3 || stores[0] || !leads {
		t.Errorf("%s: peers %v, leader %v", what, region.Peers, leader)
	}
}

func TestRoutes(t *testing.T) {
	pd, route := placement(t)
	h, ctx := header(route.ClusterID), callContext(t)

	byKey, err := pd.GetRegion(ctx, &pdpb.GetRegionRequest{
		Header: h, RegionKey: []byte(t.Name()), NeedBuckets: true})
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, "GetRegion", byKey.Header, route.ClusterID)
	checkRegion(t, "GetRegion", byKey.Region, byKey.Leader, route)
	if len(byKey.DownPeers) != 0 {
		t.Errorf("down peers %v in a healthy cluster: clients skip them", byKey.DownPeers)
	}

	byID, err := pd.GetRegionByID(ctx, &pdpb.GetRegionByIDRequest{
		Header: h, RegionId: route.Region.Id})
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, "GetRegionByID", byID.Header, route.ClusterID)
	checkRegion(t, "GetRegionByID", byID.Region, byID.Leader, route)

	scan, err := pd.ScanRegions(ctx, &pdpb.ScanRegionsRequest{Header: h, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, "ScanRegions", scan.Header, route.ClusterID)
	var end []byte
	for i, found := range scan.Regions {
		if (i > 0 && len(end) == 0) || string(found.Region.StartKey) != string(end) {
			t.Errorf("region %d starts at %q, the one before ends at %q", i,
				found.Region.StartKey, end)
		}
		end = found.Region.EndKey
	}
	if len(scan.Regions) == 0 || len(end) != 0 {
		t.Errorf("the regions do not cover all keys: %v", scan.Regions)
	}

	batch, err := pd.BatchScanRegions(ctx, &pdpb.BatchScanRegionsRequest{
		Header: h, Limit: 100, Ranges: []*pdpb.KeyRange{{StartKey: []byte(t.Name())}}})
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, "BatchScanRegions", batch.Header, route.ClusterID)
	if len(batch.Regions) == 0 {
		t.Fatal("BatchScanRegions found nothing")
	}
	checkRegion(t, "BatchScanRegions", batch.Regions[0].Region, batch.Regions[0].Leader, route)
}

func TestRouteOfUnknownRegion(t *testing.T) {
	pd, route := placement(t)
	answer, err := pd.GetRegionByID(callContext(t), &pdpb.GetRegionByIDRequest{
		Header: header(route.ClusterID), RegionId: 999_999_999})
	if err == nil && answer.Region != nil {
		t.Errorf("got %v", answer)
	}
}

func TestStores(t *testing.T) {
	pd, route := placement(t)
	h := header(route.ClusterID)
	all, err := pd.GetAllStores(callContext(t), &pdpb.GetAllStoresRequest{
		Header: h, ExcludeTombstoneStores: true})
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, "GetAllStores", all.Header, route.ClusterID)
	if len(all.Stores) != 3 {
		t.Errorf("stores %v", all.Stores)
	}
	addrs := map[string]bool{}
	for _, peer := range route.Region.Peers {
		one, err := pd.GetStore(callContext(t), &pdpb.GetStoreRequest{
			Header: h, StoreId: peer.StoreId})
		if err != nil {
			t.Fatal(err)
		}
		checkHeader(t, "GetStore", one.Header, route.ClusterID)
		if one.Store.GetId() != peer.StoreId || one.Store.State != metapb.StoreState_Up ||
			one.Store.Version == "" {
			t.Errorf("store %v", one.Store)
		}
		addrs[one.Store.GetAddress()] = true
	}
	for _, node := range servers.Nodes {
		if !addrs[node.Addr] {
			t.Errorf("no store has the address %s: %v", node.Addr, addrs)
		}
	}
}

// The client recognises a store that is gone by this text.
func TestUnknownStoreIsSaidSo(t *testing.T) {
	pd, route := placement(t)
	answer, err := pd.GetStore(callContext(t), &pdpb.GetStoreRequest{
		Header: header(route.ClusterID), StoreId: 999_999_999})
	text := fmt.Sprint(err, answer.GetHeader().GetError())
	if !strings.Contains(text, "invalid store ID") || !strings.Contains(text, "not found") {
		t.Errorf("got %s", text)
	}
}

func TestTimestampsGrow(t *testing.T) {
	pd, route := placement(t)
	var last int64
	for range 2 { // Two streams after each other.
		stream, err := pd.Tso(callContext(t))
		if err != nil {
			t.Fatal(err)
		}
		counts := []uint32{1, 1, 10, 1000, 1}
		for _, count := range counts {
			if err := stream.Send(&pdpb.TsoRequest{
				Header: header(route.ClusterID), Count: count}); err != nil {
				t.Fatal(err)
			}
		}
		for _, count := range counts {
			answer, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			checkHeader(t, "Tso", answer.Header, route.ClusterID)
			if answer.Count != count {
				t.Fatalf("%d timestamps, want %d", answer.Count, count)
			}
			end := answer.Timestamp.GetPhysical()<<18 + answer.Timestamp.GetLogical()
			if first := end - int64(count) + 1; first <= last {
				t.Fatalf("timestamp %d after %d", first, last)
			}
			last = end
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Fatalf("the stream ended with %v", err)
		}
	}
}

func TestIDsAreNeverGivenTwice(t *testing.T) {
	pd, route := placement(t)
	var last uint64
	for range 20 {
		answer, err := pd.AllocID(callContext(t),
			&pdpb.AllocIDRequest{Header: header(route.ClusterID)})
		if err != nil {
			t.Fatal(err)
		}
		checkHeader(t, "AllocID", answer.Header, route.ClusterID)
		if answer.Id <= last {
			t.Fatalf("id %d after %d", answer.Id, last)
		}
		last = answer.Id
	}
}

func TestClusterIsBootstrapped(t *testing.T) {
	pd, route := placement(t)
	answer, err := pd.IsBootstrapped(callContext(t),
		&pdpb.IsBootstrappedRequest{Header: header(route.ClusterID)})
	if err != nil || !answer.Bootstrapped {
		t.Fatalf("%v, %v", answer, err)
	}
}

func TestPlacementRefusesOtherClusters(t *testing.T) {
	pd, route := placement(t)
	ctx, wrong := callContext(t), header(route.ClusterID+1)
	calls := map[string]func() (*pdpb.ResponseHeader, error){
		"GetRegion": func() (*pdpb.ResponseHeader, error) {
			a, err := pd.GetRegion(ctx, &pdpb.GetRegionRequest{Header: wrong})
			return a.GetHeader(), err
		},
		"GetStore": func() (*pdpb.ResponseHeader, error) {
			a, err := pd.GetStore(ctx, &pdpb.GetStoreRequest{
				Header: wrong, StoreId: route.Leader.StoreId})
			return a.GetHeader(), err
		},
		"AllocID": func() (*pdpb.ResponseHeader, error) {
			a, err := pd.AllocID(ctx, &pdpb.AllocIDRequest{Header: wrong})
			return a.GetHeader(), err
		},
		"Tso": func() (*pdpb.ResponseHeader, error) {
			stream, err := pd.Tso(ctx)
			if err != nil {
				return nil, err
			}
			if err := stream.Send(&pdpb.TsoRequest{Header: wrong, Count: 1}); err != nil {
				return nil, err
			}
			a, err := stream.Recv()
			return a.GetHeader(), err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			h, err := call()
			if err == nil && h.GetError() == nil {
				t.Error("answered")
			}
			if text := fmt.Sprint(err, h.GetError()); !strings.Contains(text, "cluster") {
				t.Errorf("the refusal does not say why: %s", text)
			}
		})
	}
}

// A member that does not lead placement either knows the answer, or makes the client look for the
// leader: the client does so only for a status, and for some only with these words.
func TestFollowersOfPlacement(t *testing.T) {
	_, route := placement(t)
	for _, node := range servers.Nodes {
		if node == route.PlacementLeader {
			continue
		}
		t.Run(node.Name, func(t *testing.T) {
			pd := pdpb.NewPDClient(dial(t, node.Addr))
			answer, err := pd.GetRegion(callContext(t), &pdpb.GetRegionRequest{
				Header: header(route.ClusterID), RegionKey: []byte(t.Name())})
			if err == nil {
				checkHeader(t, "GetRegion", answer.Header, route.ClusterID)
				checkRegion(t, "GetRegion", answer.Region, answer.Leader, route)
			} else {
				checkNotLeader(t, err)
			}

			stream, err := pd.Tso(callContext(t))
			if err == nil {
				err = stream.Send(&pdpb.TsoRequest{Header: header(route.ClusterID), Count: 1})
			}
			if err == nil {
				_, err = stream.Recv()
			}
			if err == nil {
				t.Error("a follower gave a timestamp")
			} else {
				checkNotLeader(t, err)
			}
		})
	}
}

func checkNotLeader(t *testing.T, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "not leader") {
		t.Errorf("got %v", err)
	}
}

// Clients open this stream when they start and go on without it when it is not served.
func TestUnservedServiceIsUnimplemented(t *testing.T) {
	conn := dial(t, servers.Nodes[0].Addr)
	stream, err := conn.NewStream(callContext(t),
		&grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/resource_manager.ResourceManager/AcquireTokenBuckets", grpc.ForceCodec(rawBytes{}))
	if err != nil {
		t.Fatal(err)
	}
	var answer []byte
	if err := stream.RecvMsg(&answer); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}
