package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"failoverd/conf"
)

// thousand is a file of 1000 instances as the laboratory writes it: plain statements, four interfaces, a check for each
// ten of them, a sync group for each four, and notify commands for all.
func thousand() string {
	var b strings.Builder
	b.WriteString("global_defs {\n    router_id a\n    vrrp_version 3\n    script_user nobody\n    notify_fifo /run/a.fifo\n}\n")
	for i := range 100 {
		fmt.Fprintf(&b, "vrrp_script chk_%d {\n    script \"/usr/bin/check --port %d 'a b'\"\n    interval 2\n    fall 3\n    rise 2\n}\n", i, i)
	}
	for i := range 250 {
		fmt.Fprintf(&b, "vrrp_sync_group G_%d {\n    group {\n        VI_%d\n        VI_%d\n        VI_%d\n        VI_%d\n    }\n    track_interface {\n        bond0\n    }\n    notify \"/usr/bin/told group\"\n}\n", i, 4*i+1, 4*i+2, 4*i+3, 4*i+4)
	}
	for i := range 1000 {
		k, id := i/250, i%250+1
		fmt.Fprintf(&b, "vrrp_instance VI_%d {\n    state MASTER\n    interface eth%d\n    virtual_router_id %d\n    priority 150\n    advert_int 1\n    virtual_ipaddress {\n        10.%d.1.%d/32\n    }\n"+
			"    track_script {\n        chk_%d\n    }\n    notify_master \"/usr/bin/told master\"\n    notify_backup \"/usr/bin/told backup\" root\n    notify \"/usr/bin/told any\"\n}\n",
			i+1, k, id, 10+k, id, i/10)
	}
	return b.String()
}

func benchmark(b *testing.B, text string) {
	files := conf.FileMap{"f": text}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		cfg, diags := conf.Parse("f", files, conf.Env{HostName: "a"}, conf.Options{})
		if cfg == nil || len(cfg.Routers) != 1000 {
			b.Fatal(lines(diags))
		}
	}
}

// BenchmarkParse1000 reads 1000 instances written out.
func BenchmarkParse1000(b *testing.B) { benchmark(b, thousand()) }

// BenchmarkParse1000FromSequence reads 1000 instances made by ~SEQ of a variable.
func BenchmarkParse1000FromSequence(b *testing.B) {
	benchmark(b, `$VI= \
vrrp_instance VI_${K}_${ID} { \
  interface eth${K} \
  virtual_router_id ${ID} \
  virtual_ipaddress { \
    10.${K}.0.${ID}/24 \
  } \
}
~SEQ(K,0,3) ~SEQ(ID,1,250) $VI
`)
}

// BenchmarkParse1000Mistakes reads 1000 instances with an unknown word each, and so without a priority.
func BenchmarkParse1000Mistakes(b *testing.B) {
	files := conf.FileMap{"f": strings.ReplaceAll(thousand(), "priority 150", "prioritty 150")}
	for b.Loop() {
		if _, diags := conf.Parse("f", files, conf.Env{}, conf.Options{}); len(diags) != 2000 {
			b.Fatal(len(diags))
		}
	}
}
