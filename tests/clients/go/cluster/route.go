package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"google.golang.org/grpc"
)

// Route is what placement says of one key: enough to build requests by hand.
type Route struct {
	ClusterID uint64
	Region    *metapb.Region
	Leader    *metapb.Peer

	LeaderNode      *Node // Serves the region's leader.
	PlacementLeader *Node

	api kvrpcpb.APIVersion
}

// Context addresses `peer` of the route's region as a client would.
func (r *Route) Context(peer *metapb.Peer) *kvrpcpb.Context {
	return &kvrpcpb.Context{
		RegionId: r.Region.Id, RegionEpoch: r.Region.RegionEpoch, Peer: peer, ClusterId: r.ClusterID,
		ApiVersion: r.api,
	}
}

// Follower is a peer that is not the route's leader.
func (r *Route) Follower() *metapb.Peer {
	for _, peer := range r.Region.Peers {
		if peer.Id != r.Leader.Id {
			return peer
		}
	}
	return nil
}

// Dial opens a lazy connection to an address of the cluster. The caller closes it.
func Dial(addr string) (*grpc.ClientConn, error) {
	credentials, err := transport()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(credentials),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
}

// placement is a connection to its leader, which whoever asked for it closes.
type placement struct {
	leader *Node
	conn   *grpc.ClientConn
	client pdpb.PDClient
	header *pdpb.RequestHeader
}

func (c *Cluster) dialPlacement(ctx context.Context) (*placement, error) {
	clusterID, leader, err := c.placementLeader(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := Dial(leader.Addr)
	if err != nil {
		return nil, err
	}
	return &placement{
		leader: leader, conn: conn, client: pdpb.NewPDClient(conn),
		header: &pdpb.RequestHeader{ClusterId: clusterID},
	}, nil
}

// Route asks placement where `key` is. It makes one attempt: the first node that knows placement's
// leader is asked, then that leader.
func (c *Cluster) Route(ctx context.Context, key []byte) (*Route, error) {
	p, err := c.dialPlacement(ctx)
	if err != nil {
		return nil, err
	}
	defer p.conn.Close()
	found, err := p.client.GetRegion(ctx, &pdpb.GetRegionRequest{Header: p.header, RegionKey: key})
	if err != nil {
		return nil, err
	}
	if e := found.GetHeader().GetError(); e != nil {
		return nil, errors.New(e.GetMessage())
	}
	if found.Region == nil || found.Leader == nil {
		return nil, errors.New("placement knows no region or no leader")
	}
	node, err := c.nodeOfStore(ctx, p, found.Leader.StoreId)
	if err != nil {
		return nil, err
	}
	return &Route{
		ClusterID: p.header.ClusterId, Region: found.Region, Leader: found.Leader,
		LeaderNode: node, PlacementLeader: p.leader, api: c.API,
	}, nil
}

// NodeOf is the node on which `peer` lives.
func (c *Cluster) NodeOf(ctx context.Context, peer *metapb.Peer) (*Node, error) {
	p, err := c.dialPlacement(ctx)
	if err != nil {
		return nil, err
	}
	defer p.conn.Close()
	return c.nodeOfStore(ctx, p, peer.StoreId)
}

func (c *Cluster) nodeOfStore(ctx context.Context, p *placement, store uint64) (*Node, error) {
	answer, err := p.client.GetStore(ctx, &pdpb.GetStoreRequest{Header: p.header, StoreId: store})
	if err != nil {
		return nil, err
	}
	for _, node := range c.Nodes {
		if node.Addr == answer.GetStore().GetAddress() {
			return node, nil
		}
	}
	return nil, fmt.Errorf("store %d has the address %q of no node", store,
		answer.GetStore().GetAddress())
}

func (c *Cluster) placementLeader(ctx context.Context) (uint64, *Node, error) {
	var failures []error
	for _, node := range c.Nodes {
		members, err := askMembers(ctx, node.Addr)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		for _, n := range c.Nodes {
			urls := members.GetLeader().GetClientUrls()
			if len(urls) > 0 && strings.HasSuffix(urls[0], "://"+n.Addr) {
				return members.GetHeader().GetClusterId(), n, nil
			}
		}
		failures = append(failures, fmt.Errorf("%s knows no leader of placement", node.Name))
	}
	return 0, nil, errors.Join(failures...)
}

func askMembers(ctx context.Context, addr string) (*pdpb.GetMembersResponse, error) {
	conn, err := Dial(addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return pdpb.NewPDClient(conn).GetMembers(ctx, &pdpb.GetMembersRequest{})
}

// WaitReady returns when a write has succeeded, or with the last failure after 30 s, or at once
// when a node has died.
func (c *Cluster) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		key := []byte("cluster-is-ready")
		if c.HasKeyspaces() {
			key = append([]byte{'r', 0, 0, 0}, key...)
		}
		err := c.tryPut(ctx, key, []byte("yes"))
		if err == nil {
			return nil
		}
		if dead := c.died(); dead != "" {
			return errors.New(dead)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster took no write within %s: %w", readyTimeout, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Cluster) tryPut(ctx context.Context, key, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	route, err := c.Route(ctx, key)
	if err != nil {
		return err
	}
	conn, err := Dial(route.LeaderNode.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := tikvpb.NewTikvClient(conn).RawPut(ctx, &kvrpcpb.RawPutRequest{
		Context: route.Context(route.Leader), Key: key, Value: value})
	if err != nil {
		return err
	}
	if answer.RegionError != nil {
		return errors.New(answer.RegionError.String())
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}
