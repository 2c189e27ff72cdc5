// Package trace follows a removal from its request to each call of DingTalk, by OpenTelemetry.
//
// What it records are counts and words of closed sets: no id of a person, of a role or of a job, which may be named after a person.
// A nil *Tracer records nothing and costs nothing.
package trace

import (
	"context"
	"net/http"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Tracer begins spans.
type Tracer struct{ tracer trace.Tracer }

// New is a tracer whose spans go to a provider.
func New(p trace.TracerProvider) *Tracer {
	return &Tracer{p.Tracer("github.com/unrole/unrole")}
}

// header is the W3C trace context, the form in which a trace travels through requests, tasks and what waits in Redis.
const header = "traceparent"

var propagator propagation.TraceContext

// Parent is what ctx says of its trace, to be sent along; empty where there is none.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier[header]
}

// Headers are those of a task that is enqueued with ctx; nil where there is no trace.
func Headers(ctx context.Context) map[string]string {
	if parent := Parent(ctx); parent != "" {
		return map[string]string{header: parent}
	}
	return nil
}

// From is ctx in the trace of a task with these headers.
func From(ctx context.Context, headers map[string]string) context.Context {
	return Within(ctx, headers[header])
}

// Within is ctx in the trace that Parent was sent of; what is none is left out.
func Within(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagator.Extract(ctx, propagation.MapCarrier{header: parent})
}

// Span is something that takes time. A nil one is not recorded.
type Span struct{ span trace.Span }

func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind, opts ...trace.SpanStartOption) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, append(opts, trace.WithSpanKind(kind))...)
	return ctx, &Span{span}
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodOptions}

// Request begins the span of a request that came with a traceparent, or without one. route is the pattern of its address.
func (t *Tracer) Request(ctx context.Context, method, route, parent string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	if !slices.Contains(methods, method) {
		method = "_OTHER" // it may be any word
	}
	return t.start(Within(ctx, parent), method+" "+route, trace.SpanKindServer,
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route)))
}

// Answered ends the span of a request.
func (s *Span) Answered(status int) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Command begins the span of a command that submits.
func (t *Tracer) Command(ctx context.Context, name string) (context.Context, *Span) {
	return t.start(ctx, "unrole "+name, trace.SpanKindInternal)
}

// LookUp begins the span of a job that is looked up in the directory, so many people of it.
func (t *Tracer) LookUp(ctx context.Context, parent string, people int) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return t.start(Within(ctx, parent), "look up", trace.SpanKindConsumer, trace.WithAttributes(attribute.Int("unrole.people", people)))
}

// Leaver begins the span of a worker that submits somebody's job by the rule for leavers.
func (t *Tracer) Leaver(ctx context.Context) (context.Context, *Span) {
	return t.start(ctx, "leaver", trace.SpanKindInternal)
}

// Part begins the span of a task in the hands of a worker; ctx is in the trace that the task came with.
func (t *Tracer) Part(ctx context.Context, lane string, roles, users int) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return t.start(ctx, "part", trace.SpanKindConsumer, trace.WithAttributes(
		attribute.String("messaging.system", "asynq"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", lane), attribute.Int("unrole.roles", roles), attribute.Int("unrole.users", users)))
}

// Call begins the span of a call of DingTalk that serves some parts. It is a child of the first of them, and linked with each: so is
// each of them with it.
func (t *Tracer) Call(ctx context.Context, serves []*Span, api string, roles, users int, isolating bool) *Span {
	if t == nil || len(serves) == 0 || serves[0] == nil {
		return nil
	}
	links := make([]trace.Link, len(serves))
	for i, part := range serves {
		links[i] = trace.Link{SpanContext: part.span.SpanContext()}
	}
	_, s := t.start(trace.ContextWithSpan(ctx, serves[0].span), api, trace.SpanKindClient, trace.WithLinks(links...), trace.WithAttributes(
		attribute.Int("unrole.roles", roles), attribute.Int("unrole.users", users), attribute.Int("unrole.serves", len(serves)), attribute.Bool("unrole.isolating", isolating)))
	for _, part := range serves {
		part.span.AddLink(trace.Link{SpanContext: s.span.SpanContext()})
	}
	return s
}

// Heard ends the span of a call with DingTalk's answer: its request id, its code, and what that means in a word.
func (s *Span) Heard(requestID string, errcode int, outcome string, ok bool) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.String("dingtalk.request_id", requestID), attribute.Int("dingtalk.errcode", errcode), attribute.String("unrole.outcome", outcome))
	s.end(ok)
}

// End ends a span; failed says that what it was about did not come to its end.
func (s *Span) End(failed bool) {
	if s != nil {
		s.end(!failed)
	}
}

func (s *Span) end(ok bool) {
	if !ok {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}
