package trace

import (
	"context"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"pgregory.net/rapid"
)

func TestNothingIsTracedUnlessTheEnvironmentAsksForIt(t *testing.T) {
	const endpoint, proto = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"
	for _, c := range []struct {
		env   map[string]string
		on    bool
		wrong string
	}{
		{nil, false, ""},
		{map[string]string{endpoint: "http://127.0.0.1:4318"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{endpoint: "x", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{map[string]string{endpoint: "x", "OTEL_SDK_DISABLED": "TRUE"}, false, ""},
		{map[string]string{endpoint: "x", proto: "http/protobuf"}, true, ""},
		{map[string]string{endpoint: "x", proto: "grpc"}, false, proto + `: "grpc" is not spoken here`},
		{map[string]string{proto: "grpc"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "jaeger"}, false, `OTEL_TRACES_EXPORTER: "jaeger" is not one of otlp, none`},
	} {
		on, err := wanted(func(name string) string { return c.env[name] })
		if on != c.on || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%v: %v %v", c.env, on, err)
		}
	}
	tracer, stop, err := FromEnvironment(func(string) string { return "" }, "v", zerolog.Nop())
	stop()
	if tracer != nil || err != nil {
		t.Errorf("%v %v", tracer, err)
	}
}

func TestWithoutATracerNothingIsAllocated(t *testing.T) {
	var none *Tracer
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		in, span := none.Part(From(ctx, nil), "default", 1, 2)
		call := none.Call(in, nil, "x", 1, 2, false)
		call.Heard("r", 0, "accepted", true)
		span.End(false)
		if Headers(in) != nil || Within(in, "") != in {
			t.Error("there is a trace")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsNoTraceIsLeftOut(t *testing.T) {
	tracer := New(sdk.NewTracerProvider())
	ctx, span := tracer.Command(t.Context(), "x")
	defer span.End(false)
	if parent := Parent(ctx); Parent(Within(t.Context(), parent)) != parent || Headers(ctx)[header] != parent {
		t.Errorf("%q is not handed on", parent)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		if got := Parent(Within(context.Background(), text)); got != "" && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}
