package wire

import (
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/metapb"
)

func TestNotLeaderNamesTheLeader(t *testing.T) {
	f := follower(t)
	for _, write := range []bool{false, true} {
		if write {
			answer, err := f.tikv.RawPut(callContext(t), &kvrpcpb.RawPutRequest{
				Context: f.context(), Key: key(t, "k"), Value: []byte("v")})
			if err != nil || answer.RegionError.GetNotLeader() == nil {
				t.Fatalf("put to a follower: %v, %v", answer, err)
			}
			continue
		}
		notLeader := getRegionError(t, f, f.context(), key(t, "k")).NotLeader
		if notLeader == nil {
			t.Fatal("a follower answered a read")
		}
		if notLeader.RegionId != f.route.Region.Id {
			t.Errorf("region %d, want %d", notLeader.RegionId, f.route.Region.Id)
		}
		if l := notLeader.Leader; l.GetId() != f.route.Leader.Id ||
			l.GetStoreId() != f.route.Leader.StoreId {
			t.Errorf("leader %v, want %v", l, f.route.Leader)
		}
	}
	expect(t, key(t, "k"), nil)
}

func TestEveryRawCallToAFollowerIsNotLeader(t *testing.T) {
	f, ctx, k := follower(t), callContext(t), key(t, "k")
	c := f.context()
	pairs := []*kvrpcpb.KvPair{{Key: k, Value: []byte("v")}}
	ranges := []*kvrpcpb.KeyRange{{StartKey: k, EndKey: append(k, 'z')}}
	calls := map[string]func() (regionErrorHolder, error){
		"RawBatchGet": func() (regionErrorHolder, error) {
			return f.tikv.RawBatchGet(ctx, &kvrpcpb.RawBatchGetRequest{Context: c, Keys: [][]byte{k}})
		},
		"RawBatchPut": func() (regionErrorHolder, error) {
			return f.tikv.RawBatchPut(ctx, &kvrpcpb.RawBatchPutRequest{Context: c, Pairs: pairs})
		},
		"RawDelete": func() (regionErrorHolder, error) {
			return f.tikv.RawDelete(ctx, &kvrpcpb.RawDeleteRequest{Context: c, Key: k})
		},
		"RawBatchDelete": func() (regionErrorHolder, error) {
			return f.tikv.RawBatchDelete(ctx,
				&kvrpcpb.RawBatchDeleteRequest{Context: c, Keys: [][]byte{k}})
		},
		"RawDeleteRange": func() (regionErrorHolder, error) {
			return f.tikv.RawDeleteRange(ctx, &kvrpcpb.RawDeleteRangeRequest{
				Context: c, StartKey: k, EndKey: append(k, 'z')})
		},
		"RawScan": func() (regionErrorHolder, error) {
			return f.tikv.RawScan(ctx,
				&kvrpcpb.RawScanRequest{Context: c, StartKey: k, Limit: 1})
		},
		"RawBatchScan": func() (regionErrorHolder, error) {
			return f.tikv.RawBatchScan(ctx,
				&kvrpcpb.RawBatchScanRequest{Context: c, Ranges: ranges, EachLimit: 1})
		},
		"RawGetKeyTTL": func() (regionErrorHolder, error) {
			return f.tikv.RawGetKeyTTL(ctx, &kvrpcpb.RawGetKeyTTLRequest{Context: c, Key: k})
		},
		"RawCompareAndSwap": func() (regionErrorHolder, error) {
			return f.tikv.RawCompareAndSwap(ctx, &kvrpcpb.RawCASRequest{
				Context: c, Key: k, Value: []byte("v"), PreviousNotExist: true})
		},
		"RawChecksum": func() (regionErrorHolder, error) {
			return f.tikv.RawChecksum(ctx,
				&kvrpcpb.RawChecksumRequest{Context: c, Ranges: ranges})
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			answer, err := call()
			if err != nil || answer.GetRegionError().GetNotLeader() == nil {
				t.Errorf("got %v, %v", answer, err)
			}
		})
	}
	expect(t, k, nil)
}

func TestEpochNotMatchCarriesTheRegion(t *testing.T) {
	l := leader(t)
	epoch := l.route.Region.RegionEpoch
	for name, version := range map[string]uint64{
		"older": epoch.Version - 1, "newer": epoch.Version + 10,
	} {
		t.Run(name, func(t *testing.T) {
			c := l.context()
			c.RegionEpoch = &metapb.RegionEpoch{ConfVer: epoch.ConfVer, Version: version}
			mismatch := getRegionError(t, l, c, key(t, "k")).EpochNotMatch
			if mismatch == nil {
				t.Fatal("not an EpochNotMatch")
			}
			for _, region := range mismatch.CurrentRegions {
				if region.Id == l.route.Region.Id {
					if *region.RegionEpoch != *epoch || len(region.Peers) != 3 {
						t.Errorf("the region is said to be %v, want %v", region, l.route.Region)
					}
					return
				}
			}
			t.Errorf("the current regions do not hold region %d: %v", l.route.Region.Id,
				mismatch.CurrentRegions)
		})
	}
}

func TestRegionNotFound(t *testing.T) {
	l := leader(t)
	c := l.context()
	c.RegionId = 999_999_999
	notFound := getRegionError(t, l, c, key(t, "k")).RegionNotFound
	if notFound == nil || notFound.RegionId != c.RegionId {
		t.Fatalf("got %v", notFound)
	}
}

func TestStoreNotMatch(t *testing.T) {
	l := leader(t)
	c := l.context()
	c.Peer = &metapb.Peer{Id: l.peer.Id, StoreId: 999_999_999}
	mismatch := getRegionError(t, l, c, key(t, "k")).StoreNotMatch
	if mismatch == nil || mismatch.RequestStoreId != c.Peer.StoreId ||
		mismatch.ActualStoreId != l.peer.StoreId {
		t.Fatalf("got %v", mismatch)
	}
}

func TestOtherPeerIsRefused(t *testing.T) {
	l := leader(t)
	c := l.context()
	c.Peer = &metapb.Peer{Id: 999_999_999, StoreId: l.peer.StoreId}
	getRegionError(t, l, c, key(t, "k"))
}

func TestKeyNotInRegion(t *testing.T) {
	l := leader(t)
	region, outside := l.route.Region, []byte(nil)
	if len(region.EndKey) > 0 {
		outside = region.EndKey
	} else if len(region.StartKey) > 0 {
		outside = []byte{0}
	} else {
		t.Skip("the one region holds every key")
	}
	notIn := getRegionError(t, l, l.context(), outside).KeyNotInRegion
	if notIn == nil || notIn.RegionId != region.Id || string(notIn.Key) != string(outside) {
		t.Fatalf("got %v", notIn)
	}
}

func TestRequestWithoutContextIsRefused(t *testing.T) {
	l := leader(t)
	answer, err := l.tikv.RawPut(callContext(t),
		&kvrpcpb.RawPutRequest{Key: key(t, "k"), Value: []byte("v")})
	if err == nil && answer.RegionError == nil && answer.Error == "" {
		t.Error("a put that names no region was taken")
	}
	expect(t, key(t, "k"), nil)
}

func TestOtherClusterIsRefused(t *testing.T) {
	l := leader(t)
	c := l.context()
	c.ClusterId++
	answer, err := l.tikv.RawPut(callContext(t),
		&kvrpcpb.RawPutRequest{Context: c, Key: key(t, "k"), Value: []byte("v")})
	if err == nil && answer.RegionError == nil && answer.Error == "" {
		t.Error("a put meant for another cluster was taken")
	}
	expect(t, key(t, "k"), nil)
	c.ClusterId = 0 // What clients send that do not know the field.
	answer, err = l.tikv.RawPut(callContext(t),
		&kvrpcpb.RawPutRequest{Context: c, Key: key(t, "k"), Value: []byte("v")})
	if err != nil || answer.RegionError != nil || answer.Error != "" {
		t.Errorf("a put that names no cluster: %v, %v", answer, err)
	}
}

func TestOtherAPIVersionIsRefused(t *testing.T) {
	l := leader(t)
	k := append([]byte{'r', 0, 0, 0}, key(t, "k")...)
	c := l.context()
	c.ApiVersion = kvrpcpb.APIVersion_V2
	answer, err := l.tikv.RawPut(callContext(t),
		&kvrpcpb.RawPutRequest{Context: c, Key: k, Value: []byte("v")})
	if err == nil && answer.RegionError == nil && answer.Error == "" {
		t.Error("a put of the second API version was taken")
	}
	expect(t, k, nil)
}

func TestRaftEntryTooLarge(t *testing.T) {
	l := leader(t)
	var pairs []*kvrpcpb.KvPair
	for i := range 16 {
		pairs = append(pairs, &kvrpcpb.KvPair{Key: key(t, "%d", i), Value: make([]byte, 1<<20)})
	}
	answer, err := l.tikv.RawBatchPut(callContext(t),
		&kvrpcpb.RawBatchPutRequest{Context: l.context(), Pairs: pairs})
	if err != nil {
		t.Fatalf("16 MiB in one request: %v", err)
	}
	tooLarge := answer.RegionError.GetRaftEntryTooLarge()
	if tooLarge == nil {
		t.Fatalf("no RaftEntryTooLarge in %v", answer)
	}
	if tooLarge.RegionId != l.route.Region.Id || tooLarge.EntrySize < 16<<20 {
		t.Errorf("got %v", tooLarge)
	}
	if !strings.Contains(answer.RegionError.Message, "large") {
		t.Errorf("the message does not say so: %q", answer.RegionError.Message)
	}
	expect(t, pairs[0].Key, nil)
	expect(t, pairs[15].Key, nil)
}
