// ycsb runs go-ycsb's workloads A to F through its `tikv` driver in raw or transactional mode,
// driver and TiKV's client unmodified, against the placement endpoints in RUTILE_ENDPOINTS. It is
// go-ycsb's own main program without the drivers of other databases, plus checks: no operation
// fails but for conflicts of transactions, which begin again; no record is missing, every value is
// what was written, and in the end exactly the inserted keys are there.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"

	"github.com/magiconair/properties"
	_ "github.com/pingcap/go-ycsb/db/tikv"
	"github.com/pingcap/go-ycsb/pkg/client"
	"github.com/pingcap/go-ycsb/pkg/measurement"
	_ "github.com/pingcap/go-ycsb/pkg/workload"
	"github.com/pingcap/go-ycsb/pkg/ycsb"
	"github.com/pingcap/log"
)

// The core workloads as YCSB defines them. With `dataintegrity` every value follows from its key and
// field, and go-ycsb ends the program when a read returns another.
var workloads = []struct {
	name       string
	short      bool // A tenth of the operations: scans read some 50 records each.
	properties map[string]string
}{
	{"a", false, map[string]string{"readproportion": "0.5", "updateproportion": "0.5"}},
	{"b", false, map[string]string{"readproportion": "0.95", "updateproportion": "0.05"}},
	{"c", false, map[string]string{"readproportion": "1", "updateproportion": "0"}},
	{"d", false, map[string]string{"readproportion": "0.95", "updateproportion": "0",
		"insertproportion": "0.05", "requestdistribution": "latest"}},
	{"e", true, map[string]string{"readproportion": "0", "updateproportion": "0",
		"scanproportion": "0.95", "insertproportion": "0.05", "maxscanlength": "100"}},
	{"f", false, map[string]string{"readproportion": "0.5", "updateproportion": "0",
		"readmodifywriteproportion": "0.5"}},
}

// target is what is tested.
type target struct {
	endpoints string
	mode      string // The driver's: "raw" or "txn".
}

// suite is the first part of the tests' names.
func (t target) suite() string {
	if t.mode == "txn" {
		return "ycsb-txn"
	}
	return "ycsb"
}

func main() {
	mode := flag.String("mode", "raw", "the driver's way to the store: raw or txn")
	records := flag.Int("records", 100_000, "records to load, of 10 fields with 100 bytes each")
	operations := flag.Int("operations", 50_000, "operations of each workload (a tenth for E)")
	threads := flag.Int("threads", 64, "concurrent workers")
	flag.Parse()
	endpoints := os.Getenv("RUTILE_ENDPOINTS")
	if *mode != "raw" && *mode != "txn" {
		fmt.Fprintln(os.Stderr, "-mode is raw or txn")
		os.Exit(2)
	}
	if endpoints == "" {
		fmt.Fprintln(os.Stderr, "RUTILE_ENDPOINTS names no placement")
		os.Exit(2)
	}
	// The client's log tells of every retry; what matters shows in the results.
	if logger, props, err := log.InitLogger(&log.Config{Level: "fatal"}); err == nil {
		log.ReplaceGlobals(logger, props)
	}
	if !run(target{endpoints, *mode}, *records, *operations, *threads) {
		os.Exit(1)
	}
}

// run loads the records and runs all workloads; false if any check failed.
func run(to target, records, operations, threads int) bool {
	base := map[string]string{
		"workload": "core", "dataintegrity": "true", "requestdistribution": "zipfian",
		"tikv.pd": to.endpoints, "tikv.type": to.mode, "threadcount": strconv.Itoa(threads),
	}
	driver, err := ycsb.GetDBCreator("tikv").Create(properties.LoadMap(base))
	if err != nil {
		fmt.Printf("--- FAIL: %s/connect: %v\n", to.suite(), err)
		return false
	}
	db := newCheckedDB(driver)
	defer db.Close()

	// One record more than the workloads know of: the generator of go-ycsb's zipfian distribution
	// includes its upper border.
	load := maps.Clone(base)
	load["dotransactions"] = "false"
	load["recordcount"] = strconv.Itoa(records + 1)
	ok := phase("load", to, db, load, records+1) && countRecords("load/count", to, db)
	for _, w := range workloads {
		if !ok {
			break
		}
		count := operations
		if w.short {
			count /= 10
		}
		p := maps.Clone(base)
		maps.Copy(p, w.properties)
		p["recordcount"] = strconv.Itoa(records)
		p["operationcount"] = strconv.Itoa(count)
		ok = phase(w.name, to, db, p, count)
	}
	return ok && countRecords("final/count", to, db)
}

// phase runs one load or workload and checks what the driver returned.
func phase(name string, to target, db *checkedDB, settings map[string]string,
	operations int) bool {
	name = to.suite() + "/" + name
	p := properties.LoadMap(settings)
	measurement.InitMeasure(p)
	workload, err := ycsb.GetWorkloadCreator("core").Create(p)
	if err != nil {
		fmt.Printf("--- FAIL: %s: %v\n", name, err)
		return false
	}
	defer workload.Close()
	db.reset()
	start := time.Now()
	client.NewClient(p, workload, client.DbWrapper{DB: db}).Run(context.Background())
	took := time.Since(start)
	measurement.Output()
	if problems := db.problems(operations); problems != "" {
		fmt.Printf("--- FAIL: %s: %s\n", name, problems)
		return false
	}
	fmt.Printf("--- PASS: %s (%.2fs): %d operations, %.0f/s, no errors%s\n", name, took.Seconds(),
		operations, float64(operations)/took.Seconds(), db.conflictsText())
	return true
}
