package demo

import (
	"fmt"
	"strconv"
)

// A scene is one kind of request, with its share of the traffic.
type scene struct {
	name   string
	weight float64
	bots   bool
	web    func(*frame) int // as the web front tells it; nil: the gateway answers alone
	mobile func(*frame) int
	method string
	path   func(*story) string
	alone  func(*frame) int
}

var scenes = []scene{
	{name: "home", weight: 27, method: "GET", path: fixed("/"), web: (*frame).homePage, mobile: (*frame).homeFeed},
	{name: "product", weight: 29, method: "GET", path: productPath, web: (*frame).productPage, mobile: (*frame).productDetails},
	{name: "search", weight: 16, method: "GET", path: searchPath, web: (*frame).searchPage, mobile: (*frame).searchResults},
	{name: "cart", weight: 9, method: "GET", path: fixed("/cart"), web: (*frame).cartPage, mobile: (*frame).cartPage},
	{name: "add", weight: 7, method: "POST", path: fixed("/cart/items"), web: (*frame).addToCart, mobile: (*frame).addToCart},
	{name: "checkout", weight: 4, method: "POST", path: fixed("/checkout"), web: (*frame).placeOrder, mobile: (*frame).placeOrder},
	{name: "login", weight: 4, method: "POST", path: fixed("/login"), web: (*frame).login, mobile: (*frame).login},
	{name: "history", weight: 2, method: "GET", path: fixed("/account/orders"), web: (*frame).orderHistory, mobile: (*frame).orderHistory},
	{name: "probe", weight: 0.9, bots: true, method: "GET", path: probePath, alone: func(f *frame) int { f.work(1.5, 0.4); return 404 }},
	{name: "crawl", weight: 1.1, bots: true, method: "GET", path: productPath, web: (*frame).productPage, alone: (*frame).rateLimited},
}

var sceneWeights = func() (sum float64) {
	for i := range scenes {
		sum += scenes[i].weight
	}
	return sum
}()

func fixed(path string) func(*story) string { return func(*story) string { return path } }

func productPath(st *story) string { return "/p/" + products[st.r.zipf(len(products))] }

func searchPath(st *story) string {
	word := []byte(pick(st.r, searchWords))
	for i := range word {
		if word[i] == ' ' {
			word[i] = '+'
		}
	}
	return "/search?q=" + string(word) + "&page=" + strconv.Itoa(1+st.r.zipf(5))
}

func probePath(st *story) string {
	return pick(st.r, []string{"/wp-login.php", "/.env", "/admin/config.php", "/phpmyadmin/index.php", "/.git/config"})
}

// request tells one visitor's request from the edge of the shop inwards.
func (st *story) request(at micros) {
	choice := st.r.Float64() * sceneWeights
	s := &scenes[0]
	for i := range scenes {
		s = &scenes[i]
		if choice -= s.weight; choice < 0 {
			break
		}
	}
	st.who = st.g.cast.customers[st.r.zipf(len(st.g.cast.customers))]
	st.known = st.r.chance(0.6) || s.name == "checkout" || s.name == "history"
	if s.bots {
		st.who.agent, st.who.ip, st.who.mobile, st.known = pick(st.r, bots), "203.0.113."+strconv.Itoa(st.r.between(1, 40)), false, false
	}
	path := s.path(st)
	h := &httpBlock{method: s.method, agent: st.who.agent, clientIP: st.who.ip, forwarded: true}
	c := st.g.cast
	if st.who.mobile && s.mobile != nil {
		st.newTrace(at, true)
		h.url = c.mobile.base + "/v2" + path
		st.segment(c.mobile, 0, at, h, func(f *frame) int {
			f.identify("mobile")
			f.work(3, 0.4)
			status := s.mobile(f)
			f.work(2, 0.4)
			return status
		})
		return
	}
	st.newTrace(at, false)
	h.url = c.gateway.base + path
	st.segment(c.gateway, 0, at, h, func(f *frame) int {
		device := "desktop"
		if st.who.mobile {
			device = "phone"
		}
		f.identify(device)
		f.work(1.2, 0.4)
		if s.alone != nil {
			if status := s.alone(f); status != 0 {
				return status
			}
		}
		if f.r.chance(0.08) {
			f.local("renew session", func() {
				f.aws("DynamoDB", "UpdateItem", 5, 0.4, str("table_name", "sessions"))
			})
		}
		status := f.call(c.web, s.method, path, 10*second, func(f *frame) int {
			f.work(4, 0.4)
			return s.web(f)
		})
		f.work(0.8, 0.4)
		return status
	})
}

// identify notes who asks, on the segment at the edge.
func (f *frame) identify(device string) {
	if f.known {
		f.seg.user = f.who.user
	}
	f.note(str("tenant", f.who.tenant), str("plan", f.who.plan), str("device", device), str("deploy_id", f.from.version),
		str("region", region), flag("signed_in", f.known))
}

// rateLimited is the gateway's answer to crawlers in a hurry; 0 lets them pass.
func (f *frame) rateLimited() int {
	if f.r.chance(0.55) {
		f.note(str("limit", "crawler"))
		f.work(0.7, 0.3)
		return 429
	}
	return 0
}

// The web front: pages.

func (f *frame) homePage() int {
	c := f.g.cast
	f.note(flag("flag_new_ranking", f.who.new))
	degraded, status := false, 200
	f.parallel(
		func() { status = f.featured() },
		func() {
			degraded = f.call(c.recommendations, "GET", "/recommendations?for=home", 2*second, (*frame).recommend) >= 500
		},
	)
	if degraded {
		f.note(flag("degraded", true))
	}
	return f.render("home", status)
}

func (f *frame) productPage() int {
	c := f.g.cast
	f.note(flag("flag_new_ranking", f.who.new))
	status := f.productData()
	if status >= 400 {
		return f.render("error", status)
	}
	if f.r.chance(0.4) {
		f.call(c.recommendations, "GET", "/recommendations?for=product", 2*second, (*frame).recommend)
	}
	if f.r.chance(0.008) {
		f.local("render product", func() {
			f.work(6, 0.4)
			status = f.fail(500, renderFailed, pick(f.r, []string{"amount", "currency", "discount"}))
		})
		return status
	}
	return f.render("product", status)
}

func (f *frame) searchPage() int {
	status := f.find()
	return f.render("search", status)
}

func (f *frame) cartPage() int {
	return f.render("cart", f.call(f.g.cast.cart, "GET", "/carts/"+f.cartID(), 3*second, (*frame).readCart))
}

func (f *frame) addToCart() int {
	return f.render("cart", f.call(f.g.cast.cart, "POST", "/carts/"+f.cartID()+"/items", 3*second, (*frame).addItem))
}

func (f *frame) placeOrder() int {
	return f.render("receipt", f.call(f.g.cast.checkout, "POST", "/orders", 9*second, (*frame).checkOut))
}

func (f *frame) orderHistory() int {
	return f.render("orders", f.call(f.g.cast.orders, "GET", "/customers/"+strconv.Itoa(f.r.between(1000, 9999))+"/orders", 5*second, (*frame).listOrders))
}

func (f *frame) login() int {
	status := 200
	switch p := f.r.Float64(); {
	case p < 0.12:
		status = 401
	case p < 0.15:
		status = 429
	}
	f.local("check credentials", func() {
		f.remote("id.accounts.example", "POST", "/oauth/token", status, 95, 0.5)
	})
	f.note(flag("second_factor", f.r.chance(0.3)))
	return f.render("login", status)
}

// render is the end of a page: the front's own work.
func (f *frame) render(view string, status int) int {
	if f.from.service != f.g.cast.web {
		return status
	}
	f.local("render "+view, func() { f.work(9, 0.5) })
	if f.r.chance(0.1) {
		f.seg.metadata = fmt.Appendf(nil, `{"default":{"view":{"name":%q,"cache":%t,"blocks":[%q,%q,%q],"bytes":%d}}}`,
			view, f.r.chance(0.5), "header", view, "footer", f.r.between(9_000, 90_000))
	}
	return status
}

func (f *frame) cartID() string { return fmt.Sprintf("c%07x", f.r.Uint32()>>4) }

// The mobile API: data without pages.

func (f *frame) homeFeed() int {
	f.note(flag("flag_new_ranking", f.who.new))
	status := f.featured()
	f.call(f.g.cast.recommendations, "GET", "/recommendations?for=feed", 2*second, (*frame).recommend)
	return status
}

func (f *frame) productDetails() int { return f.productData() }

func (f *frame) searchResults() int { return f.find() }

// The catalogue.

func (f *frame) featured() int {
	return f.retried(2, func() int {
		return f.call(f.g.cast.catalogue, "GET", "/products?featured=true&limit=24", 4*second, func(f *frame) int {
			if status := f.shed(); status != 0 {
				return status
			}
			f.work(1.5, 0.4)
			if f.r.chance(0.75) { // in its cache
				f.note(flag("cached", true))
				return 200
			}
			f.note(flag("cached", false))
			f.aws("DynamoDB", "Query", 7, 0.4, str("table_name", "products"), str("index_name", "by-rank"), flag("scan_index_forward", false), count("count", 24))
			f.aws("DynamoDB", "BatchGetItem", 9, 0.4, rawJSON("table_names", `["products","prices"]`), str("table_name", "prices"))
			return 200
		})
	})
}

func (f *frame) productData() int {
	slug := products[f.r.zipf(len(products))]
	if f.r.chance(0.025) {
		slug = "discontinued-" + strconv.Itoa(f.r.between(100, 999))
	}
	return f.retried(2, func() int {
		return f.call(f.g.cast.catalogue, "GET", "/products/"+slug, 4*second, func(f *frame) int {
			if status := f.shed(); status != 0 {
				return status
			}
			f.note(str("product", slug), str("version", f.from.version))
			f.work(1.2, 0.4)
			f.aws("DynamoDB", "GetItem", 4.5, 0.35, str("table_name", "products"), flag("consistent_read", false))
			if len(slug) > 12 && slug[:12] == "discontinued" {
				return 404
			}
			if f.r.chance(0.35) {
				f.aws("S3", "GetObject", 24, 0.5, str("bucket_name", "shop-images"), str("key", slug+"/large.webp"))
			}
			f.local("price", func() { f.work(0.9, 0.5) })
			return 200
		})
	})
}

// shed is the catalogue's refusal to take more than it can do; 0: it takes the request.
func (f *frame) shed() int {
	if f.r.chance(0.003 + 0.3*f.g.trouble(busyCatalogue, f.now)) {
		f.work(0.4, 0.3)
		return f.fail(503, catalogueOverload, strconv.Itoa(f.r.between(200, 260)))
	}
	f.work(0.5+60*f.g.trouble(busyCatalogue, f.now), 0.5)
	return 0
}

// retried tries again, after a pause, what answers 503.
func (f *frame) retried(times int, try func() int) (status int) {
	for i := range times {
		if i > 0 {
			f.work(40, 0.3)
			f.note(count("retries", i))
		}
		if status = try(); status != 503 {
			break
		}
	}
	return status
}

// Search.

func (f *frame) find() int {
	return f.call(f.g.cast.search, "GET", "/search?size=24", 5*second, func(f *frame) int {
		f.work(2, 0.4)
		results := f.r.zipf(400)
		f.note(count("results", results), number("relevance", float64(f.r.between(1, 1000))/1000))
		if f.r.chance(0.003 + 0.25*f.g.trouble(searchNodeDown, f.now)) {
			e := f.begin("search-index.internal:9200", "remote")
			e.http = &httpBlock{method: "POST", url: "http://search-index.internal:9200/products/_search"}
			f.work(900, 0.3)
			f.raise(e, indexReset, "data-"+strconv.Itoa(f.r.between(0, 2)))
			f.finish(e)
			f.seg.cause.reference = f.failure
			return 502
		}
		e := f.begin("search-index.internal:9200", "remote")
		e.http = &httpBlock{method: "POST", url: "http://search-index.internal:9200/products/_search", status: 200, length: f.r.between(2_000, 40_000)}
		f.work(22, 0.6)
		f.finish(e)
		if results > 0 {
			f.aws("DynamoDB", "BatchGetItem", 8, 0.4, str("table_name", "products"), rawJSON("table_names", `["products"]`))
		}
		return 200
	})
}

// Recommendations.

func (f *frame) recommend() int {
	f.note(str("version", f.from.version), flag("flag_new_ranking", f.who.new))
	f.work(2, 0.4)
	if f.r.chance(0.5 * f.g.trouble(badRelease, f.now)) {
		status := 500
		f.local("rank", func() {
			f.work(5, 0.4)
			status = f.fail(500, badFeature)
		})
		return status
	}
	e := f.aws("DynamoDB", "Query", 6, 0.4, str("table_name", "affinities"), flag("consistent_read", false), count("limit", 50))
	if f.r.chance(0.0015) {
		f.refuse(e, 400, 4, true, tableThrottled, "affinities")
		f.note(flag("fallback", true))
		return 200
	}
	f.local("rank", func() {
		if f.who.new {
			f.work(38, 0.5) // the new ranking is better and slower
		} else {
			f.work(12, 0.4)
		}
	})
	return 200
}

// The cart.

func (f *frame) readCart() int {
	f.work(0.8, 0.4)
	f.aws("DynamoDB", "GetItem", 4, 0.35, str("table_name", "carts"), flag("consistent_read", true))
	return 200
}

func (f *frame) addItem() int {
	f.work(0.8, 0.4)
	f.note(count("items", 1+f.r.zipf(9)))
	if f.r.chance(0.0012) {
		status := 500
		f.local("merge guest cart", func() { status = f.fail(500, nilCart) })
		return status
	}
	e := f.aws("DynamoDB", "UpdateItem", 6, 0.4, str("table_name", "carts"))
	if t := f.g.trouble(throttledCarts, f.now); f.r.chance(0.001 + 0.5*t) {
		f.now += f.r.latency(320, 0.3) // the SDK's own retries
		e.end = f.now
		f.refuse(e, 400, 3, true, tableThrottled, "carts")
		return 429
	}
	return 200
}

// Checkout, payments and orders.

func (f *frame) checkOut() int {
	cart := f.cartID()
	value := float64(f.r.between(900, 24_000)) / 100
	items := 1 + f.r.zipf(8)
	method := pick(f.r, []string{"card", "card", "card", "wallet", "invoice"})
	f.note(number("order_value", value), count("items", items), str("currency", "EUR"), str("payment_method", method),
		str("tenant", f.who.tenant), str("version", f.from.version))
	if f.r.chance(0.2) {
		f.note(str("coupon", pick(f.r, []string{"WELCOME10", "AUTUMN", "FRIENDS"})))
	}
	f.work(2, 0.4)
	status := 200
	f.local("validate", func() {
		f.work(2.5, 0.4)
		switch p := f.r.Float64(); {
		case p < 0.015:
			f.e.err = true
			status = 422
		case p < 0.019:
			status = f.fail(500, missingAddress)
		}
	})
	if status != 200 {
		return status
	}
	if status = f.call(f.g.cast.cart, "GET", "/carts/"+cart, 3*second, (*frame).readCart); status >= 400 {
		return status
	}
	f.local("reserve stock", func() {
		e := f.aws("DynamoDB", "TransactWriteItems", 14, 0.4, str("table_name", "stock"), count("items", items))
		if f.r.chance(0.02) {
			f.refuse(e, 400, 0, false, stockConflict, products[f.r.zipf(len(products))])
			f.e.err = true
			f.e.cause.reference = f.failure
			status = 409
		}
	})
	if status != 200 {
		return status
	}
	if f.r.chance(0.05) { // the document becomes a long one
		f.seg.metadata = f.priceLines(items)
	}
	status = f.call(f.g.cast.payments, "POST", "/charges", 8*second, func(f *frame) int { return f.charge(value, method) })
	switch {
	case status == 402:
		f.note(str("outcome", "declined"))
		return 402
	case status >= 500:
		f.note(str("outcome", "payment failed"))
		// The chain goes on in the segment of payments, which has the exception
		// that began it all.
		first := f.failure
		f.raise(f.seg, checkoutFailed, cart, strconv.Itoa(status))
		f.seg.cause.exceptions[1].cause = first
		return 502
	}
	status = f.call(f.g.cast.orders, "POST", "/orders", 6*second, func(f *frame) int { return f.saveOrder(value, items) })
	if status >= 500 {
		f.note(str("outcome", "not saved"))
		return 500
	}
	f.note(str("outcome", "placed"))
	return 201
}

func (f *frame) priceLines(items int) []byte {
	b := []byte(`{"checkout":{"lines":[`)
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"SKU-%05d","title":%q,"quantity":%d,"net":%d.%02d,"tax":{"rate":0.%d,"country":%q},"promotions":[],"reserved":true}`,
			f.r.between(1, 99999), products[f.r.zipf(len(products))], 1+f.r.zipf(4), f.r.between(4, 180), f.r.IntN(100), pick(f.r, []int{7, 19, 21, 25}), pick(f.r, []string{"DE", "FR", "NL", "SE"}))
	}
	return append(b, `],"rules":{"engine":"v4","applied":["rounding","free-shipping-over-60"]}}}`...)
}

func (f *frame) charge(value float64, method string) int {
	trouble := f.g.trouble(slowPayments, f.now)
	f.note(str("provider", "example-pay"), number("amount", value), str("method", method), count("attempt", 1))
	f.work(1.5, 0.4)
	f.aws("DynamoDB", "PutItem", 6, 0.35, str("table_name", "payment-attempts"))
	e := f.begin("api.payments.example", "remote")
	e.http = &httpBlock{method: "POST", url: "https://api.payments.example/v2/charges"}
	took := f.r.latency(190*(1+12*trouble), 0.45)
	const patience = 6 * second
	if took > patience {
		f.now += patience
		f.raise(e, paymentTimeout, "6")
		f.finish(e)
		f.seg.cause.reference = f.failure
		return 504
	}
	f.now += took
	if f.r.chance(0.006 + 0.15*trouble) {
		f.raise(e, paymentRefused, fmt.Sprintf("req_%08x", f.r.Uint32()))
		e.answer(503)
		f.finish(e)
		f.seg.cause.reference = f.failure
		return 502
	}
	if f.r.chance(0.05) {
		e.answer(402)
		f.finish(e)
		f.raise(f.seg, cardDeclined, pick(f.r, []string{"insufficient funds", "expired card", "do not honour"}))
		f.seg.fault, f.failure = false, 0
		return 402
	}
	e.answer(200)
	e.http.length = f.r.between(600, 1_400)
	f.finish(e)
	return 200
}

func (f *frame) saveOrder(value float64, items int) int {
	order := fmt.Sprintf("o-%08d", f.r.IntN(100_000_000))
	f.note(str("order_id", order), number("order_value", value), str("version", f.from.version))
	trouble := f.g.trouble(lockedOrders, f.now)
	f.work(2, 0.4)
	status := 201
	f.local("transaction", func() {
		e := f.sql(false, "INSERT INTO orders (id, customer_id, tenant, total, currency, state) VALUES (%s, %s, %s, %s, %s, %s) RETURNING created_at",
			4*(1+150*trouble), 0.6)
		if e.end-e.start > 2500*millisecond || f.r.chance(0.004+0.1*trouble) {
			f.raise(e, lockTimeout, fmt.Sprintf("%d,%d", f.r.between(1, 900), f.r.between(1, 80)))
			first := f.failure
			status = f.fail(500, orderFailed, order)
			f.e.cause.exceptions[0].cause = first
			return
		}
		f.sql(false, "INSERT INTO order_lines (order_id, sku, quantity, net, tax) SELECT * FROM unnest(%s::order_line[])", 3+float64(items)*0.4, 0.5)
		f.sql(false, "COMMIT", 2.5, 0.5)
	})
	if status != 201 {
		return status
	}
	e := f.aws("SQS", "SendMessage", 11, 0.4, str("queue_url", queueURL), str("message_id", f.uuid()))
	f.g.enqueue(message{trace: f.trace, entity: e.id, at: e.end, order: order, value: value})
	return 201
}

func (f *frame) listOrders() int {
	f.work(1.5, 0.4)
	f.sql(true, "SELECT id, total, currency, state, created_at FROM orders WHERE customer_id = %s ORDER BY created_at DESC LIMIT 20", 6, 0.6)
	if f.r.chance(0.06) {
		// The page that everybody has: one more query for each row.
		for range f.r.between(8, 45) {
			f.sql(true, "SELECT sku, quantity, net FROM order_lines WHERE order_id = %s", 1.6, 0.4)
		}
		return 200
	}
	f.sql(true, "SELECT order_id, sku, quantity, net FROM order_lines WHERE order_id = ANY(%s)", 5, 0.5)
	return 200
}

func (st *story) uuid() string {
	a, b := st.r.Uint64(), st.r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}
