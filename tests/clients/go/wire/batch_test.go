package wire

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
)

type (
	request  = tikvpb.BatchCommandsRequest_Request
	response = tikvpb.BatchCommandsResponse_Response
)

func openBatch(t *testing.T, s *target) tikvpb.Tikv_BatchCommandsClient {
	t.Helper()
	stream, err := s.tikv.BatchCommands(callContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// send sends the commands under the ids first, first+1, ...
func send(t *testing.T, stream tikvpb.Tikv_BatchCommandsClient, first uint64, commands ...*request) {
	t.Helper()
	batch := &tikvpb.BatchCommandsRequest{Requests: commands}
	for i := range commands {
		batch.RequestIds = append(batch.RequestIds, first+uint64(i))
	}
	if err := stream.Send(batch); err != nil {
		t.Fatal(err)
	}
}

// receive collects `count` answers by id, however they are batched.
func receive(t *testing.T, stream tikvpb.Tikv_BatchCommandsClient, count int) map[uint64]*response {
	t.Helper()
	answers := map[uint64]*response{}
	for len(answers) < count {
		batch, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %d of %d answers: %v", len(answers), count, err)
		}
		if len(batch.RequestIds) != len(batch.Responses) {
			t.Fatalf("%d ids, %d answers", len(batch.RequestIds), len(batch.Responses))
		}
		for i, id := range batch.RequestIds {
			if answers[id] != nil {
				t.Fatalf("two answers for %d", id)
			}
			answers[id] = batch.Responses[i]
		}
	}
	return answers
}

func putCommand(c *kvrpcpb.Context, key, value []byte) *request {
	return &request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawPut{
		RawPut: &kvrpcpb.RawPutRequest{Context: c, Key: key, Value: value}}}
}

func getCommand(c *kvrpcpb.Context, key []byte) *request {
	return &request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawGet{
		RawGet: &kvrpcpb.RawGetRequest{Context: c, Key: key}}}
}

func emptyCommand(id uint64) *request {
	return &request{Cmd: &tikvpb.BatchCommandsRequest_Request_Empty{
		Empty: &tikvpb.BatchCommandsEmptyRequest{TestId: id}}}
}

func TestEveryRawCommandInOneBatch(t *testing.T) {
	l := leader(t)
	c := l.context()
	for _, name := range []string{"del", "batch-del", "range-1", "range-2", "get"} {
		l.put(t, key(t, "%s", name), []byte("v"))
	}
	stream := openBatch(t, l)
	send(t, stream, 100,
		putCommand(c, key(t, "put"), []byte("put")),
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawBatchPut{
			RawBatchPut: &kvrpcpb.RawBatchPutRequest{Context: c, Pairs: []*kvrpcpb.KvPair{
				{Key: key(t, "batch-put"), Value: []byte("batch")}}}}},
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawDelete{
			RawDelete: &kvrpcpb.RawDeleteRequest{Context: c, Key: key(t, "del")}}},
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawBatchDelete{
			RawBatchDelete: &kvrpcpb.RawBatchDeleteRequest{
				Context: c, Keys: [][]byte{key(t, "batch-del")}}}},
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawDeleteRange{
			RawDeleteRange: &kvrpcpb.RawDeleteRangeRequest{
				Context: c, StartKey: key(t, "range-1"), EndKey: key(t, "range-9")}}},
		getCommand(c, key(t, "get")),
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawBatchGet{
			RawBatchGet: &kvrpcpb.RawBatchGetRequest{Context: c, Keys: [][]byte{key(t, "get")}}}},
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawScan{
			RawScan: &kvrpcpb.RawScanRequest{
				Context: c, StartKey: key(t, "get"), EndKey: key(t, "get\x00"), Limit: 9}}},
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawBatchScan{
			RawBatchScan: &kvrpcpb.RawBatchScanRequest{Context: c, EachLimit: 9,
				Ranges: []*kvrpcpb.KeyRange{
					{StartKey: key(t, "get"), EndKey: key(t, "get\x00")}}}}},
		&request{Cmd: &tikvpb.BatchCommandsRequest_Request_RawCoprocessor{
			RawCoprocessor: &kvrpcpb.RawCoprocessorRequest{Context: c, CoprName: "x"}}},
		emptyCommand(42),
	)
	a := receive(t, stream, 11)
	// An answer of another kind than its request would be nil here, and so would a missing one.
	if r := a[100].GetRawPut(); r == nil || r.RegionError != nil || r.Error != "" {
		t.Errorf("put: %v", a[100])
	}
	if r := a[101].GetRawBatchPut(); r == nil || r.RegionError != nil || r.Error != "" {
		t.Errorf("batch put: %v", a[101])
	}
	if r := a[102].GetRawDelete(); r == nil || r.RegionError != nil || r.Error != "" {
		t.Errorf("delete: %v", a[102])
	}
	if r := a[103].GetRawBatchDelete(); r == nil || r.RegionError != nil || r.Error != "" {
		t.Errorf("batch delete: %v", a[103])
	}
	if r := a[104].GetRawDeleteRange(); r == nil || r.RegionError != nil || r.Error != "" {
		t.Errorf("delete range: %v", a[104])
	}
	if r := a[105].GetRawGet(); r == nil || string(r.Value) != "v" {
		t.Errorf("get: %v", a[105])
	}
	if r := a[106].GetRawBatchGet(); r == nil || len(r.Pairs) != 1 ||
		string(r.Pairs[0].Value) != "v" {
		t.Errorf("batch get: %v", a[106])
	}
	if r := a[107].GetRawScan(); r == nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "v" {
		t.Errorf("scan: %v", a[107])
	}
	if r := a[108].GetRawBatchScan(); r == nil || len(r.Kvs) != 1 {
		t.Errorf("batch scan: %v", a[108])
	}
	if r := a[109].GetRawCoprocessor(); r == nil || !strings.Contains(r.Error, "not supported") {
		t.Errorf("coprocessor: %v", a[109])
	}
	if r := a[110].GetEmpty(); r == nil || r.TestId != 42 {
		t.Errorf("empty: %v", a[110])
	}
	expect(t, key(t, "put"), []byte("put"))
	expect(t, key(t, "batch-put"), []byte("batch"))
	for _, name := range []string{"del", "batch-del", "range-1", "range-2"} {
		expect(t, key(t, "%s", name), nil)
	}
}

func TestManyCommandsInFlight(t *testing.T) {
	l := leader(t)
	stream := openBatch(t, l)
	const batches, size = 40, 64
	go func() {
		for b := range batches {
			batch := &tikvpb.BatchCommandsRequest{}
			for i := range size {
				n := b*size + i
				batch.RequestIds = append(batch.RequestIds, uint64(n))
				batch.Requests = append(batch.Requests,
					putCommand(l.context(), key(t, "%d", n), fmt.Appendf(nil, "%d", n)))
			}
			if stream.Send(batch) != nil {
				return // The receiving side reports the stream's end.
			}
		}
	}()
	for id, answer := range receive(t, stream, batches*size) {
		if r := answer.GetRawPut(); r == nil || r.RegionError != nil || r.Error != "" {
			t.Fatalf("command %d: %v", id, answer)
		}
	}
	expect(t, key(t, "0"), []byte("0"))
	expect(t, key(t, "%d", batches*size-1), fmt.Appendf(nil, "%d", batches*size-1))
}

func TestFailingCommandsLeaveTheOthersAlone(t *testing.T) {
	l := leader(t)
	lost := l.context()
	lost.RegionId = 999_999_999
	stream := openBatch(t, l)
	send(t, stream, 1,
		putCommand(l.context(), key(t, "good"), []byte("v")),
		putCommand(lost, key(t, "lost"), []byte("v")),
		putCommand(l.context(), nil, []byte("v")),
		putCommand(nil, key(t, "no context"), []byte("v")),
	)
	a := receive(t, stream, 4)
	if r := a[1].GetRawPut(); r == nil || r.RegionError != nil || r.Error != "" {
		t.Errorf("good: %v", a[1])
	}
	if r := a[2].GetRawPut(); r.GetRegionError().GetRegionNotFound() == nil {
		t.Errorf("lost: %v", a[2])
	}
	if r := a[3].GetRawPut(); r.GetError() == "" {
		t.Errorf("empty key: %v", a[3])
	}
	if r := a[4].GetRawPut(); r.GetError() == "" && r.GetRegionError() == nil {
		t.Errorf("without a context: %v", a[4])
	}
	send(t, stream, 9, emptyCommand(7))
	if r := receive(t, stream, 1)[9].GetEmpty(); r == nil || r.TestId != 7 {
		t.Errorf("the stream does not go on: %v", r)
	}
}

func TestBatchToAFollowerIsNotLeader(t *testing.T) {
	f := follower(t)
	stream := openBatch(t, f)
	send(t, stream, 1, putCommand(f.context(), key(t, "k"), []byte("v")),
		getCommand(f.context(), key(t, "k")))
	a := receive(t, stream, 2)
	for id, notLeader := range map[uint64]bool{
		1: a[1].GetRawPut().GetRegionError().GetNotLeader().GetLeader() != nil,
		2: a[2].GetRawGet().GetRegionError().GetNotLeader().GetLeader() != nil,
	} {
		if !notLeader {
			t.Errorf("no NotLeader with a leader in %v", a[id])
		}
	}
}

// A client that has sent its last command still gets every answer, and then a clean end.
func TestHalfClosedStreamAnswersAll(t *testing.T) {
	l := leader(t)
	stream := openBatch(t, l)
	var commands []*request
	for i := range 50 {
		commands = append(commands, putCommand(l.context(), key(t, "%d", i), []byte("v")))
	}
	send(t, stream, 1, commands...)
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	receive(t, stream, len(commands))
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestEmptyBatchIsHarmless(t *testing.T) {
	l := leader(t)
	stream := openBatch(t, l)
	send(t, stream, 0)
	send(t, stream, 5, emptyCommand(1))
	if r := receive(t, stream, 1)[5].GetEmpty(); r == nil {
		t.Error("the stream does not go on")
	}
}
