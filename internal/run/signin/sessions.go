package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/crypto/bcrypt"
)

const (
	// sessionIdle is how long a session lasts that nobody uses, sessionLasts the longest one: a working day.
	sessionIdle  = time.Hour
	sessionLasts = 12 * time.Hour
	cookieName   = "unrole_session"

	// triesFor is how long wrong passwords count. triesOfName are those of one name, triesFrom those from one address,
	// behind which there may be many people.
	triesFor    = 15 * time.Minute
	triesOfName = 10
	triesFrom   = 100
	// hashing is how many passwords are compared at once: that is made to cost.
	hashing = 2
	// maxPassword is the longest password, in bytes, that bcrypt takes.
	maxPassword = 72
)

// session is what Redis keeps of one, under the hash of what the browser has.
type session struct {
	Name  string    `json:"name"`
	Mark  string    `json:"mark"`
	Since time.Time `json:"since"`
}

// Form is what the sign-in page shows.
type Form struct {
	// Next is where the person was going to, Name what was typed.
	Next, Name string
	// Wrong says that name and password do not go together, Wait that there were too many tries.
	Wrong, Wait bool
}

func sessionKey(token string) string { return "unrole:session:" + digest(token) }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// guard is the sign-in with names.
type guard struct {
	Config
	hashing chan struct{}
	// nobody is compared with where there is no such name, so that the time it takes does not tell.
	nobody []byte
}

func (c Config) withUsers(next http.Handler) (http.Handler, error) {
	nobody, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), c.Users.cost())
	if err != nil {
		return nil, err
	}
	g := &guard{Config: c, hashing: make(chan struct{}, hashing), nobody: nobody}
	mux := http.NewServeMux()
	protected := http.NewCrossOriginProtection()
	mux.HandleFunc("GET "+c.Prefix+"/signin", func(w http.ResponseWriter, r *http.Request) {
		g.Page(w, r, Form{Next: g.safe(r.URL.Query().Get("next"))}, http.StatusOK)
	})
	mux.Handle("POST "+c.Prefix+"/signin", protected.Handler(http.HandlerFunc(g.signIn)))
	mux.Handle("POST "+c.Prefix+"/signout", protected.Handler(http.HandlerFunc(g.signOut)))
	mux.Handle("GET "+c.Prefix+"/static/", c.Pages)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		by, err := g.whoIs(r)
		switch {
		case err != nil:
			g.Log.Error().Err(err).Msg("sessions cannot be read")
			http.Error(w, "Redis does not answer: try again in a moment", http.StatusServiceUnavailable)
		case by.Known:
			next.ServeHTTP(w, With(r, by))
		case r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, g.Prefix+"/signin?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		case r.Method == http.MethodPost:
			// The session ended while a form was filled in: back to its page.
			g.Page(w, r, Form{Next: g.pageBefore(r)}, http.StatusUnauthorized)
		default:
			http.Error(w, "sign in, please", http.StatusUnauthorized)
		}
	})
	return mux, nil
}

// whoIs is who the session of the request is of; the zero Person where there is none that holds.
func (g *guard) whoIs(r *http.Request) (Person, error) {
	cookie, err := r.Cookie(cookieName)
	if err != nil || cookie.Value == "" {
		return Person{}, nil
	}
	key := sessionKey(cookie.Value)
	stored, err := g.Redis.Get(r.Context(), key).Bytes()
	if errors.Is(err, redis.Nil) {
		return Person{}, nil
	}
	if err != nil {
		return Person{}, err
	}
	var s session
	if err := json.Unmarshal(stored, &s); err != nil {
		return Person{}, err
	}
	who, known := g.Users.find(s.Name)
	left := time.Until(s.Since.Add(sessionLasts))
	if !known || who.mark != s.Mark || left <= 0 {
		return Person{}, g.Redis.Del(r.Context(), key).Err()
	}
	return who.Person, g.Redis.PExpire(r.Context(), key, min(left, sessionIdle)).Err()
}

func (g *guard) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name, password := strings.TrimSpace(r.PostFormValue("name")), r.PostFormValue("password")
	form := Form{Next: g.safe(r.PostFormValue("next")), Name: name}
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	tries := tries{name: "unrole:signin:name:" + digest(name), from: "unrole:signin:from:" + digest(from)}
	may, err := g.mayTry(r.Context(), tries)
	if err == nil && !may {
		g.Log.Warn().Str("name", name).Str("from", r.RemoteAddr).Msg("too many wrong passwords: nobody signs in by this name or from this address for a while")
		form.Wait = true
		g.Page(w, r, form, http.StatusTooManyRequests)
		return
	}
	var who user
	var right bool
	if err == nil {
		who, right, err = g.compare(r.Context(), name, password)
	}
	if err == nil && right {
		err = g.begin(w, r, who, tries)
	}
	switch {
	case err != nil:
		g.Log.Error().Err(err).Msg("nobody can sign in")
		http.Error(w, "Redis does not answer: try again in a moment", http.StatusServiceUnavailable)
	case !right:
		g.Log.Warn().Str("name", name).Str("from", r.RemoteAddr).Msg("wrong name or password")
		form.Wrong = true
		g.Page(w, r, form, http.StatusUnauthorized)
	default:
		g.Log.Info().Str("name", name).Str("from", r.RemoteAddr).Msg("signed in")
		http.Redirect(w, r, form.Next, http.StatusSeeOther)
	}
}

// tries are the keys that count the tries of a name, and those from an address.
type tries struct{ name, from string }

// mayTry counts a try before it is made, so that many at once are not more than many one by one. An address that had its
// tries makes no more keys of names.
func (g *guard) mayTry(ctx context.Context, t tries) (bool, error) {
	if n, err := g.count(ctx, t.from, 1); err != nil || n > triesFrom {
		return false, err
	}
	n, err := g.count(ctx, t.name, 1)
	return err == nil && n <= triesOfName, err
}

// count adds to a count that ends triesFor after it began. EXPIRE with NX, which would say the same, is of Redis 7.
func (g *guard) count(ctx context.Context, key string, n int64) (int64, error) {
	var now *redis.IntCmd
	// As one step: a key that ended between the two would come again without an end.
	_, err := g.Redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SetNX(ctx, key, 0, triesFor)
		now = p.IncrBy(ctx, key, n)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return now.Val(), nil
}

func (g *guard) compare(ctx context.Context, name, password string) (user, bool, error) {
	select {
	case g.hashing <- struct{}{}:
		defer func() { <-g.hashing }()
	case <-ctx.Done():
		return user{}, false, ctx.Err()
	}
	who, known := g.Users.find(name)
	hash := g.nobody
	if known {
		hash = who.hash
	}
	right := len(password) <= maxPassword && bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return who, known && right, nil
}

// begin opens a session and hands the browser its token. A right password is no try against the address.
func (g *guard) begin(w http.ResponseWriter, r *http.Request, who user, t tries) error {
	if _, err := g.count(r.Context(), t.from, -1); err != nil {
		return err
	}
	token := rand.Text()
	s, err := json.Marshal(session{Name: who.Name, Mark: who.mark, Since: time.Now().UTC()})
	if err != nil {
		return err
	}
	if _, err := g.Redis.Pipelined(r.Context(), func(p redis.Pipeliner) error {
		p.Set(r.Context(), sessionKey(token), s, sessionIdle)
		p.Del(r.Context(), t.name)
		return nil
	}); err != nil {
		return err
	}
	g.setCookie(w, r, token, int(sessionLasts.Seconds()))
	return nil
}

func (g *guard) setCookie(w http.ResponseWriter, r *http.Request, token string, lasts int) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: token, Path: g.Prefix + "/", MaxAge: lasts, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")})
}

func (g *guard) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		if err := g.Redis.Del(r.Context(), sessionKey(cookie.Value)).Err(); err != nil {
			http.Error(w, "Redis does not answer: you are still signed in, try again in a moment", http.StatusServiceUnavailable)
			return
		}
	}
	g.setCookie(w, r, "", -1)
	http.Redirect(w, r, g.Prefix+"/signin", http.StatusSeeOther)
}

// pageBefore is the page that a form was sent from.
func (g *guard) pageBefore(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host {
		return g.Prefix + "/"
	}
	return g.safe(u.RequestURI())
}

// safe is a path of these pages to go on to, never one of another site.
func (g *guard) safe(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, g.Prefix+"/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return g.Prefix + "/"
	}
	return next
}
