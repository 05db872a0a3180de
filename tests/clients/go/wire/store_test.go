package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

type regionErrorHolder interface{ GetRegionError() *errorpb.Error }

func TestCoprocessorIsNotSupported(t *testing.T) {
	l := leader(t)
	answer, err := l.tikv.RawCoprocessor(callContext(t), &kvrpcpb.RawCoprocessorRequest{
		Context: l.context(), CoprName: "example", CoprVersionReq: "*",
		Ranges: []*kvrpcpb.KeyRange{{StartKey: key(t, "a"), EndKey: key(t, "b")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(answer.Error, "not supported") {
		t.Errorf("got %v", answer)
	}
}

// rawBytes is a codec that sends and returns messages as they are.
type rawBytes struct{}

func (rawBytes) Name() string                       { return "proto" }
func (rawBytes) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (rawBytes) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }

var _ encoding.Codec = rawBytes{}

func TestMalformedMessageIsAnError(t *testing.T) {
	l := leader(t)
	malformed := map[string][]byte{
		"no field":         {0xff, 0xff, 0xff},
		"truncated length": {0x0a, 0xff, 0x01, 'x'},
		"length of 2^63":   {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"text":             []byte("this is not a message"),
	}
	methods := []string{
		"/tikvpb.Tikv/RawGet", "/tikvpb.Tikv/RawPut", "/tikvpb.Tikv/RawBatchPut",
		"/pdpb.PD/GetRegion", "/pdpb.PD/AllocID",
	}
	for _, method := range methods {
		for name, message := range malformed {
			t.Run(method+" "+name, func(t *testing.T) {
				var answer []byte
				err := l.conn.Invoke(callContext(t), method, message, &answer,
					grpc.ForceCodec(rawBytes{}))
				switch code := status.Code(err); code {
				case codes.InvalidArgument, codes.Internal:
				default:
					t.Errorf("status %s (%v), answer %q", code, err, answer)
				}
			})
		}
	}
	l.put(t, key(t, "k"), []byte("the same connection works on"))
}

func TestMalformedMessageEndsItsStreamOnly(t *testing.T) {
	l := leader(t)
	description := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := l.conn.NewStream(callContext(t), description, "/tikvpb.Tikv/BatchCommands",
		grpc.ForceCodec(rawBytes{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg([]byte{0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	if err := stream.RecvMsg(&answer); err == nil || status.Code(err) == codes.DeadlineExceeded {
		t.Errorf("got %q, %v", answer, err)
	}
	l.put(t, key(t, "k"), []byte("the same connection works on"))
}

func TestUnknownMethodIsUnimplemented(t *testing.T) {
	l := leader(t)
	for _, method := range []string{"/tikvpb.Tikv/NoSuchCall", "/no.Such/Service"} {
		var answer []byte
		err := l.conn.Invoke(callContext(t), method, []byte{}, &answer, grpc.ForceCodec(rawBytes{}))
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestHugeMessageIsRefused(t *testing.T) {
	l := leader(t)
	k := key(t, "k")
	l.put(t, k, []byte("before"))
	answer, err := l.tikv.RawPut(callContext(t), &kvrpcpb.RawPutRequest{
		Context: l.context(), Key: k, Value: make([]byte, 192<<20)})
	if err == nil && answer.Error == "" && answer.RegionError == nil {
		t.Error("a value of 192 MiB was taken")
	}
	expect(t, k, []byte("before"))
}

func TestOversizedKeyAndValue(t *testing.T) {
	l := leader(t)
	put := func(key, value []byte) *kvrpcpb.RawPutResponse {
		answer, err := l.tikv.RawPut(callContext(t),
			&kvrpcpb.RawPutRequest{Context: l.context(), Key: key, Value: value})
		if err != nil {
			t.Fatalf("bad input of a user is told in the answer: %v", err)
		}
		return answer
	}
	long := append(key(t, ""), bytes.Repeat([]byte("k"), 256<<10)...)
	if answer := put(long, []byte("v")); answer.Error == "" {
		t.Errorf("a key of 256 KiB: %v", answer)
	}
	k := key(t, "k")
	answer := put(k, make([]byte, 12<<20))
	if answer.Error == "" && answer.RegionError.GetRaftEntryTooLarge() == nil {
		t.Errorf("a value of 12 MiB: %v", answer)
	}
	expect(t, k, nil)
}

func TestEmptyKeyIsAnError(t *testing.T) {
	l := leader(t)
	answer, err := l.tikv.RawPut(callContext(t),
		&kvrpcpb.RawPutRequest{Context: l.context(), Value: []byte("v")})
	if err != nil || answer.RegionError != nil || answer.Error == "" {
		t.Errorf("put: %v, %v", answer, err)
	}
	swap, err := l.tikv.RawCompareAndSwap(callContext(t), &kvrpcpb.RawCASRequest{
		Context: l.context(), Value: []byte("v"), PreviousNotExist: true})
	if err != nil || swap.RegionError != nil || swap.Error == "" {
		t.Errorf("compare and swap: %v, %v", swap, err)
	}
}

func TestReversedRanges(t *testing.T) {
	l := leader(t)
	for _, name := range []string{"a", "b", "c"} {
		l.put(t, key(t, "%s", name), []byte(name))
	}
	low, high := key(t, "a"), key(t, "z")
	reversed := []*kvrpcpb.KeyRange{{StartKey: high, EndKey: low}}

	scan, err := l.tikv.RawScan(callContext(t),
		&kvrpcpb.RawScanRequest{Context: l.context(), StartKey: high, EndKey: low, Limit: 10})
	if err != nil || scan.RegionError != nil || len(scan.Kvs) != 0 {
		t.Errorf("scan: %v, %v", scan, err)
	}
	scan, err = l.tikv.RawScan(callContext(t), &kvrpcpb.RawScanRequest{
		Context: l.context(), StartKey: low, EndKey: high, Limit: 10, Reverse: true})
	if err != nil || scan.RegionError != nil || len(scan.Kvs) != 0 {
		t.Errorf("reverse scan: %v, %v", scan, err)
	}
	batch, err := l.tikv.RawBatchScan(callContext(t), &kvrpcpb.RawBatchScanRequest{
		Context: l.context(), Ranges: reversed, EachLimit: 10})
	if err != nil || batch.RegionError != nil || len(batch.Kvs) != 0 {
		t.Errorf("batch scan: %v, %v", batch, err)
	}
	sum, err := l.tikv.RawChecksum(callContext(t),
		&kvrpcpb.RawChecksumRequest{Context: l.context(), Ranges: reversed})
	if err != nil || sum.RegionError != nil || sum.TotalKvs != 0 {
		t.Errorf("checksum: %v, %v", sum, err)
	}
	deleted, err := l.tikv.RawDeleteRange(callContext(t), &kvrpcpb.RawDeleteRangeRequest{
		Context: l.context(), StartKey: high, EndKey: low})
	if err != nil || deleted.RegionError != nil {
		t.Errorf("delete range: %v, %v", deleted, err)
	}
	for _, name := range []string{"a", "b", "c"} {
		expect(t, key(t, "%s", name), []byte(name))
	}
}

func TestKeyTTL(t *testing.T) {
	l := leader(t)
	get := func(k []byte) *kvrpcpb.RawGetKeyTTLResponse {
		answer, err := l.tikv.RawGetKeyTTL(callContext(t),
			&kvrpcpb.RawGetKeyTTLRequest{Context: l.context(), Key: k})
		if err != nil || answer.RegionError != nil || answer.Error != "" {
			t.Fatalf("%v, %v", answer, err)
		}
		return answer
	}
	forever, timed := key(t, "forever"), key(t, "timed")
	l.put(t, forever, []byte("v"))
	if answer := get(forever); answer.NotFound || answer.Ttl != 0 {
		t.Errorf("without a limit: %v", answer)
	}
	put, err := l.tikv.RawPut(callContext(t), &kvrpcpb.RawPutRequest{
		Context: l.context(), Key: timed, Value: []byte("v"), Ttl: 500})
	if err != nil || put.RegionError != nil || put.Error != "" {
		t.Fatalf("%v, %v", put, err)
	}
	if answer := get(timed); answer.NotFound || answer.Ttl < 470 || answer.Ttl > 500 {
		t.Errorf("with a limit: %v", answer)
	}
	if answer := get(key(t, "missing")); !answer.NotFound {
		t.Errorf("of a missing key: %v", answer)
	}
}

func TestBatchScan(t *testing.T) {
	l := leader(t)
	for _, name := range []string{"a1", "a2", "a3", "b1", "c1", "c2"} {
		l.put(t, key(t, "%s", name), []byte(name))
	}
	between := func(start, end string) *kvrpcpb.KeyRange {
		return &kvrpcpb.KeyRange{StartKey: key(t, "%s", start), EndKey: key(t, "%s", end)}
	}
	answer, err := l.tikv.RawBatchScan(callContext(t), &kvrpcpb.RawBatchScanRequest{
		Context: l.context(), EachLimit: 2,
		Ranges: []*kvrpcpb.KeyRange{between("a", "b"), between("b", "c"), between("c", "d")},
	})
	if err != nil || answer.RegionError != nil {
		t.Fatalf("%v, %v", answer, err)
	}
	var got []string
	for _, pair := range answer.Kvs {
		got = append(got, string(pair.Value))
	}
	if want := "a1 a2 b1 c1 c2"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestScanWithoutBordersStaysInItsRegion(t *testing.T) {
	l := leader(t)
	l.put(t, key(t, "k"), []byte("v"))
	answer, err := l.tikv.RawScan(callContext(t),
		&kvrpcpb.RawScanRequest{Context: l.context(), Limit: 1 << 30})
	if err == nil && answer.RegionError == nil && len(answer.Kvs) == 0 {
		t.Error("nothing was found, and no error told why")
	}
}
