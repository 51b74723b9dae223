package demo

import (
	"fmt"
)

// Road is the way a document takes into the server.
type Road uint8

const (
	UDP  Road = iota // the daemon's datagrams
	HTTP             // PutTraceSegments
	OTLP             // spans, in batches over HTTP
)

func (r Road) String() string {
	switch r {
	case HTTP:
		return "http"
	case OTLP:
		return "otlp"
	}
	return "udp"
}

const (
	account = "123456789012"
	region  = "eu-west-1"
)

// service is one program of the shop, or one that it calls and that traces too.
type service struct {
	name        string
	key         uint64 // sets its hosts, ids and deployments apart from others'
	origin      string
	dialect     *dialect
	road        Road
	base        string // URL up to the path
	hosts       []host
	major       int
	deployEvery micros
	versions    [2]versionText
	breaks      incident // the incident in which its release is a bad one
	beanstalk   bool
}

// host is where a copy of a service runs.
type host struct {
	index  int
	ip     string
	zone   string
	blocks []field // of the segment's aws object
	skew   micros  // how far its clock is ahead
}

// sender is a copy of a service at the moment of a request.
type sender struct {
	*service
	*dialect
	host             *host
	version          string
	elasticBeanstalk bool
}

type platform uint8

const (
	onEC2 platform = iota
	onFargate
	onECS
	onEKS
	onBeanstalk
	onLambda
)

var origins = [...]string{
	onEC2:       "AWS::EC2::Instance",
	onFargate:   "AWS::ECS::Fargate",
	onECS:       "AWS::ECS::Container",
	onEKS:       "AWS::EKS::Container",
	onBeanstalk: "AWS::ElasticBeanstalk::Environment",
	onLambda:    "AWS::Lambda::Function",
}

// cast is everybody in the play.
type cast struct {
	gateway, web, mobile                     *service
	catalogue, search, cart, checkout        *service
	payments, orders, recommendations        *service
	reports                                  *service
	orderWorker, orderWorkerFn               *service
	confirmationMailer, confirmationMailerFn *service
	all                                      []*service
	customers                                []customer
}

func newCast(seed uint64) *cast {
	c := &cast{}
	add := func(name string, at platform, d *dialect, road Road, hosts, major int, deployEvery micros) *service {
		s := &service{
			name: name, key: nameKey(name), origin: origins[at], dialect: d, road: road,
			base: "http://" + name + ".shop.internal", major: major, deployEvery: deployEvery,
			beanstalk: at == onBeanstalk,
		}
		for i := range hosts {
			s.hosts = append(s.hosts, newHost(seed, s, at, i))
		}
		c.all = append(c.all, s)
		return s
	}
	c.gateway = add("gateway", onFargate, goSDK, UDP, 3, 4, 9*hour)
	c.gateway.base = "https://shop.example"
	c.web = add("web", onFargate, nodeSDK, UDP, 4, 12, 3*hour)
	c.mobile = add("mobile-api", onEKS, rubyOtel, OTLP, 2, 7, 5*hour)
	c.mobile.base = "https://api.shop.example"
	c.catalogue = add("catalogue", onEC2, javaSDK, UDP, 3, 3, 7*hour)
	c.search = add("search", onEKS, javaOtel, OTLP, 3, 2, 11*hour)
	c.cart = add("cart", onEKS, goSDK, UDP, 2, 5, 6*hour)
	c.checkout = add("checkout", onECS, javaSDK, UDP, 3, 8, 4*hour)
	c.payments = add("payments", onEC2, dotnetSDK, UDP, 5, 2, 23*hour)
	c.orders = add("orders", onBeanstalk, pythonSDK, UDP, 2, 6, 8*hour)
	c.recommendations = add("recommendations", onFargate, pythonSDK, UDP, 2, 1, 2*hour)
	c.recommendations.breaks = badRelease
	c.reports = add("reports", onFargate, pythonSDK, UDP, 1, 1, 31*hour)

	c.orderWorker = add("order-worker", onLambda, lambdaPlatform, HTTP, 1, 1, 26*hour)
	c.orderWorkerFn = add("order-worker", onLambda, nodeSDK, UDP, 3, 1, 26*hour)
	c.confirmationMailer = add("confirmation-mailer", onLambda, lambdaPlatform, HTTP, 1, 1, 29*hour)
	c.confirmationMailerFn = add("confirmation-mailer", onLambda, pythonSDK, UDP, 2, 1, 29*hour)

	// One machine of payments lost its time server.
	c.payments.hosts[3].skew = 640 * millisecond

	c.customers = newCustomers(seed)
	return c
}

// nameKey turns a name into a number (FNV-1a).
func nameKey(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

func newHost(seed uint64, s *service, at platform, i int) host {
	h := mix(seed, s.key, uint64(i))
	zone := region + string(rune('a'+(i+int(s.key%3))%3))
	ho := host{
		index: i, zone: zone,
		ip: fmt.Sprintf("10.%d.%d.%d", 20+i%3, h%200+10, h>>8%200+10),
	}
	container := fmt.Sprintf("%016x%016x", mix(h, 1), mix(h, 2))
	pod := fmt.Sprintf("%s-%s-%s", s.name, base27(mix(h, 3), 9), base27(mix(h, 4), 5))
	instance := fmt.Sprintf("i-0%016x", mix(h, 5))
	ec2 := rawJSON("ec2", fmt.Sprintf(`{"instance_id":%q,"instance_size":%q,"ami_id":"ami-0%x","availability_zone":%q}`,
		instance, [...]string{"m7g.large", "c7g.xlarge", "t4g.medium"}[s.key%3], mix(s.key)>>4, zone))
	cluster := "arn:aws:ecs:" + region + ":" + account + ":cluster/shop"
	task := fmt.Sprintf("arn:aws:ecs:%s:%s:task/shop/%s", region, account, container)
	switch at {
	case onEC2:
		ho.blocks = []field{str("account_id", account), ec2}
	case onFargate:
		ho.blocks = []field{str("account_id", account), rawJSON("ecs", fmt.Sprintf(
			`{"container":"ip-%s.%s.compute.internal","container_id":"%s-%d","container_arn":"arn:aws:ecs:%s:%s:container/shop/%s/%016x","task_arn":%q,"task_family":%q,"cluster_arn":%q,"launch_type":"FARGATE","availability_zone":%q}`,
			dashes(ho.ip), region, container, h%4_000_000_000, region, account, container, mix(h, 6), task, s.name, cluster, zone))}
	case onECS:
		ho.blocks = []field{str("account_id", account), ec2, rawJSON("ecs", fmt.Sprintf(
			`{"container":%q,"container_id":"%s%s","container_arn":"arn:aws:ecs:%s:%s:container/shop/%s"}`,
			container[:12], container, container, region, account, container))}
	case onEKS:
		ho.blocks = []field{str("account_id", account), ec2, rawJSON("eks", fmt.Sprintf(
			`{"cluster_name":"shop-prod","pod":%q,"container_id":"%s%s"}`, pod, container, container))}
	case onBeanstalk:
		ho.blocks = []field{ec2}
	case onLambda:
		ho.blocks = nil
	}
	if at == onFargate || at == onEKS {
		group := "/ecs/" + s.name
		if at == onEKS {
			group = "/aws/containerinsights/shop-prod/application"
		}
		ho.blocks = append(ho.blocks, rawJSON("cloudwatch_logs", fmt.Sprintf(
			`[{"log_group":%q,"arn":"arn:aws:logs:%s:%s:log-group:%s"}]`, group, region, account, group)))
	}
	return ho
}

// base27 spells a number with the letters and digits of a Kubernetes pod's suffix.
func base27(v uint64, n int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[v%uint64(len(letters))]
		v /= uint64(len(letters))
	}
	return string(b)
}

func dashes(ip string) string {
	b := []byte(ip)
	for i := range b {
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return string(b)
}

// customer is somebody who shops, with the company they shop for.
type customer struct {
	user   string
	tenant string
	plan   string
	agent  string
	ip     string
	mobile bool
	new    bool // sees the new ranking of recommendations
}

var tenants = []struct{ name, plan string }{
	{"northwind-tea", "business"}, {"blue-lantern", "business"}, {"kite-and-co", "team"},
	{"harbour-books", "team"}, {"sallow-fields", "team"}, {"ottoman-tiles", "free"},
	{"plum-street", "free"}, {"second-orbit", "free"},
}

var (
	firstNames = []string{"amara", "bjorn", "chloe", "dmitri", "elena", "farid", "greta", "hiro", "ines", "jakob", "keiko", "liam",
		"maya", "nils", "olga", "pablo", "quinn", "rosa", "samir", "tove", "uma", "viktor", "wanda", "yusuf", "zoe"}
	lastNames = []string{"abbott", "brandt", "castro", "duarte", "ekman", "fischer", "grau", "hansen", "ivanova", "jansen",
		"kowal", "lindt", "moreau", "novak", "okafor", "petrov", "quist", "rossi"}
	browsers = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
		"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
	}
	apps = []string{"ShopApp/6.14 (iOS 18.6; iPhone16,1)", "ShopApp/6.12 (iOS 17.7; iPhone14,5)", "ShopApp/6.14 (Android 15; Pixel 9)"}
	bots = []string{"Mozilla/5.0 (compatible; TidyCrawler/2.1; +https://tidy.example/bot)", "curl/8.14.1", "python-requests/2.32.5"}
)

func newCustomers(seed uint64) []customer {
	list := make([]customer, 600)
	for i := range list {
		h := mix(seed, 0x637573746f6d6572, uint64(i))
		t := tenants[int(unit(h)*unit(h)*float64(len(tenants)))]
		c := customer{
			user:   firstNames[mix(h, 1)%uint64(len(firstNames))] + "." + lastNames[mix(h, 2)%uint64(len(lastNames))],
			tenant: t.name, plan: t.plan,
			// Addresses that documentation may use, so that no real one is shown.
			ip:     fmt.Sprintf("%s.%d", [...]string{"192.0.2", "198.51.100", "203.0.113"}[h%3], mix(h, 3)%254+1),
			mobile: mix(h, 4)%10 < 3,
			new:    mix(h, 5)%4 == 0,
		}
		c.user += "@" + c.tenant + ".example"
		c.agent = browsers[mix(h, 6)%uint64(len(browsers))]
		if c.mobile {
			c.agent = apps[mix(h, 6)%uint64(len(apps))]
		}
		list[i] = c
	}
	return list
}

var products = []string{
	"oak-desk", "walnut-shelf", "linen-throw", "brass-lamp", "stone-mug", "wool-rug", "copper-kettle", "ash-stool",
	"glass-carafe", "jute-basket", "clay-planter", "steel-pan", "cedar-chest", "felt-slippers", "paper-lantern",
	"marble-tray", "cork-board", "velvet-cushion", "tin-clock", "rattan-chair",
}

var searchWords = []string{"lamp", "desk", "rug wool", "mug set of 4", "chair rattan", "kettle", "shelf oak", "planter large", "cushion", "clock"}
