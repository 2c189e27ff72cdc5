package dingtalk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// question is what is asked of one API: a POST with a form or, on the new host, a JSON body; a GET without either.
type question struct {
	op          string
	query, form url.Values
	body        []byte
	token       string
}

// exchange is one HTTP request and its answer. The error is ctx's own when ctx ended the exchange, else an *Error.
func (c *Client) exchange(ctx context.Context, q question) (map[string]json.RawMessage, error) {
	began := c.now()
	fields, err := c.send(ctx, q, q.token, c.appSecret, c.tokens.static)
	if c.observe != nil {
		call := Call{Op: q.op, Class: ClassOK, Code: "0", Duration: c.now().Sub(began)}
		var e *Error
		switch {
		case errors.As(err, &e):
			call.Class, call.Limit, call.Code = e.Class, e.Limit, e.Code()
		case err != nil:
			call.Class, call.Code, call.Cancelled = ClassUnknown, "", true
		}
		c.observe(call)
	}
	return fields, err
}

func (c *Client) send(ctx context.Context, q question, secrets ...string) (map[string]json.RawMessage, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	failed := func(status int, err error) error {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", q.op, ctx.Err())
		}
		if bounded.Err() != nil {
			err = fmt.Errorf("no answer within %v: %w", c.timeout, context.DeadlineExceeded)
		}
		return &Error{Class: ClassBusy, Op: q.op, HTTPStatus: status, Err: onTheWay(err, secrets...)}
	}
	req, err := c.request(bounded, q)
	if err != nil {
		return nil, failed(0, err)
	}
	if get := req.GetBody; get != nil {
		req.Body = unwritten{req.Body, ctx}
		req.GetBody = func() (io.ReadCloser, error) { // for another connection
			body, err := get()
			return unwritten{body, ctx}, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, failed(0, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody+1))
	if err != nil {
		return nil, failed(resp.StatusCode, fmt.Errorf("the answer broke off: %w", err))
	}
	read := decode
	if onNewHost(q.op) {
		read = decodeNewHost
	}
	fields, refusal := read(q.op, reply{resp.StatusCode, resp.Header, body}, c.now(), secrets...)
	if refusal != nil {
		return nil, refusal
	}
	return fields, nil
}

// unwritten is the body of a request that is not sent any more once its context is over: a process that was frozen while
// it waited for a connection learns of that here. The headers may have gone, but without its body it is no call: net/http closes
// the connection.
type unwritten struct {
	io.ReadCloser
	ctx context.Context
}

func (b unwritten) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

// request puts the token where the host wants it: into the query, or on the new host into a header.
func (c *Client) request(ctx context.Context, q question) (*http.Request, error) {
	base, query, modern := c.base, url.Values{}, onNewHost(q.op)
	maps.Copy(query, q.query)
	if modern {
		base = newHostOf(c.base)
	} else if q.token != "" {
		query.Set("access_token", q.token)
	}
	method, kind, body := http.MethodGet, "", io.Reader(nil)
	switch {
	case q.form != nil:
		method, kind, body = http.MethodPost, "application/x-www-form-urlencoded;charset=utf-8", strings.NewReader(q.form.Encode())
	case q.body != nil:
		method, kind, body = http.MethodPost, "application/json", bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/"+q.op+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if modern {
		req.Header.Set(tokenHeader, q.token)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	return req, nil
}
