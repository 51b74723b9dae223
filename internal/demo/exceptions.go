package demo

import "strings"

// exceptionKind is an exception as one of the shop's programs raises it. The
// stack is newest call first.
type exceptionKind struct {
	kind    string
	message string // each %s stands for the next argument
	remote  bool   // raised on the other side of a call
	stack   []stackFrame
	cut     int            // frames left out
	because *exceptionKind // what led to it; takes the arguments that are left
	in      string         // working directory
}

var (
	springFrames = []stackFrame{
		{"InvocableHandlerMethod.java", 258, "org.springframework.web.method.support.InvocableHandlerMethod.invokeForRequest"},
		{"DispatcherServlet.java", 1089, "org.springframework.web.servlet.DispatcherServlet.doDispatch"},
		{"HttpServlet.java", 590, "jakarta.servlet.http.HttpServlet.service"},
		{"AWSXRayServletFilter.java", 192, "com.amazonaws.xray.jakarta.servlet.AWSXRayServletFilter.doFilter"},
		{"StandardWrapperValve.java", 167, "org.apache.catalina.core.StandardWrapperValve.invoke"},
		{"Thread.java", 1583, "java.lang.Thread.run"},
	}
	flaskFrames = []stackFrame{
		{"flask/app.py", 902, "dispatch_request"},
		{"flask/app.py", 917, "full_dispatch_request"},
		{"flask/app.py", 1511, "wsgi_app"},
	}
	expressFrames = []stackFrame{
		{"/srv/web/node_modules/router/lib/layer.js", 152, "Layer.handleRequest"},
		{"/srv/web/node_modules/router/lib/route.js", 117, "next"},
		{"node:internal/process/task_queues", 105, "process.processTicksAndRejections"},
	}
	goFrames = []stackFrame{
		{"net/http/server.go", 2322, "http.HandlerFunc.ServeHTTP"},
		{"github.com/aws/aws-xray-sdk-go/xray/handler.go", 111, "HandlerWithContext.func1"},
		{"runtime/asm_arm64.s", 1268, "runtime.goexit"},
	}
	aspFrames = []stackFrame{
		{"Microsoft.AspNetCore.Mvc.Core/ActionMethodExecutor.cs", 0, "Microsoft.AspNetCore.Mvc.Infrastructure.ActionMethodExecutor.Execute"},
		{"Shop.Payments/Startup/XRayMiddleware.cs", 41, "Shop.Payments.Startup.XRayMiddleware.Invoke"},
		{"Microsoft.AspNetCore.Server.Kestrel.Core/HttpProtocol.cs", 0, "Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.HttpProtocol.ProcessRequests"},
	}
)

func stack(below []stackFrame, own ...stackFrame) []stackFrame { return append(own, below...) }

var (
	paymentTimeout = &exceptionKind{
		kind: "System.Threading.Tasks.TaskCanceledException", in: "/app",
		message: "The request was canceled due to the configured HttpClient.Timeout of %s seconds elapsing.",
		stack: stack(aspFrames,
			stackFrame{"System.Net.Http/HttpClient.cs", 0, "System.Net.Http.HttpClient.HandleFailure"},
			stackFrame{"Shop.Payments/Providers/HostedProvider.cs", 118, "Shop.Payments.Providers.HostedProvider.ChargeAsync"},
			stackFrame{"Shop.Payments/Controllers/ChargesController.cs", 64, "Shop.Payments.Controllers.ChargesController.Post"}),
		because: &exceptionKind{
			kind: "System.TimeoutException", message: "A task was canceled.",
			because: &exceptionKind{
				kind: "System.IO.IOException", message: "Unable to read data from the transport connection: Operation canceled.", remote: true,
				stack: []stackFrame{
					{"System.Net.Sockets/NetworkStream.cs", 0, "System.Net.Sockets.NetworkStream.ReadAsync"},
					{"System.Net.Security/SslStream.cs", 0, "System.Net.Security.SslStream.ReadAsyncInternal"},
				},
			},
		},
	}
	paymentRefused = &exceptionKind{
		kind: "Shop.Payments.Providers.ProviderUnavailableException", in: "/app",
		message: "api.payments.example answered 503 (provider request %s)", remote: true,
		stack: stack(aspFrames,
			stackFrame{"Shop.Payments/Providers/HostedProvider.cs", 131, "Shop.Payments.Providers.HostedProvider.ChargeAsync"},
			stackFrame{"Shop.Payments/Controllers/ChargesController.cs", 64, "Shop.Payments.Controllers.ChargesController.Post"}),
	}
	cardDeclined = &exceptionKind{
		kind: "Shop.Payments.CardDeclinedException", message: "card declined: %s", in: "/app",
		stack: []stackFrame{{"Shop.Payments/Controllers/ChargesController.cs", 71, "Shop.Payments.Controllers.ChargesController.Post"}},
	}
	checkoutFailed = &exceptionKind{
		kind: "shop.checkout.CheckoutException", message: "order of cart %s could not be placed", in: "/srv/checkout",
		stack: stack(springFrames,
			stackFrame{"CheckoutService.java", 143, "shop.checkout.CheckoutService.place"},
			stackFrame{"CheckoutController.java", 58, "shop.checkout.CheckoutController.submit"}),
		cut: 31,
		because: &exceptionKind{
			kind: "shop.checkout.PaymentUnavailableException", message: "payments answered %s", remote: true,
			stack: []stackFrame{
				{"PaymentClient.java", 88, "shop.checkout.PaymentClient.charge"},
				{"CheckoutService.java", 131, "shop.checkout.CheckoutService.place"},
			},
		},
	}
	missingAddress = &exceptionKind{
		kind: "java.lang.NullPointerException", in: "/srv/checkout", cut: 28,
		message: `Cannot invoke "shop.checkout.Address.country()" because "address" is null`,
		stack: stack(springFrames,
			stackFrame{"TaxTable.java", 37, "shop.checkout.TaxTable.rateFor"},
			stackFrame{"CheckoutService.java", 96, "shop.checkout.CheckoutService.totals"},
			stackFrame{"CheckoutController.java", 52, "shop.checkout.CheckoutController.submit"}),
	}
	stockConflict = &exceptionKind{
		kind: "software.amazon.awssdk.services.dynamodb.model.TransactionCanceledException", in: "/srv/checkout", remote: true, cut: 44,
		message: "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed] (item %s)",
		stack: stack(springFrames,
			stackFrame{"StockRepository.java", 74, "shop.checkout.StockRepository.reserve"},
			stackFrame{"CheckoutService.java", 112, "shop.checkout.CheckoutService.place"}),
	}
	catalogueOverload = &exceptionKind{
		kind: "shop.catalogue.LoadSheddingException", message: "queue of %s requests is full", in: "/srv/catalogue",
		stack: stack(springFrames, stackFrame{"AdmissionFilter.java", 49, "shop.catalogue.AdmissionFilter.doFilter"}),
	}
	tableThrottled = &exceptionKind{
		kind: "ProvisionedThroughputExceededException", in: "/app", remote: true,
		message: "The level of configured provisioned throughput for the table %s was exceeded. Consider increasing your provisioning level with the UpdateTable API.",
		stack: stack(goFrames,
			stackFrame{"shop/cart/store/dynamo.go", 91, "(*Store).Put"},
			stackFrame{"shop/cart/handler.go", 57, "(*Handler).AddItem"}),
	}
	nilCart = &exceptionKind{
		kind: "runtime.errorString", message: "panic: runtime error: invalid memory address or nil pointer dereference", in: "/app",
		stack: stack(goFrames,
			stackFrame{"shop/cart/merge.go", 44, "mergeGuest"},
			stackFrame{"shop/cart/handler.go", 83, "(*Handler).AddItem"}),
	}
	lockTimeout = &exceptionKind{
		kind: "LockNotAvailable", message: "canceling statement due to lock timeout\nCONTEXT:  while inserting index tuple (%s) in relation \"orders\"",
		remote: true, in: "/srv/orders",
		stack: stack(flaskFrames,
			stackFrame{"psycopg/cursor.py", 97, "execute"},
			stackFrame{"orders/repository.py", 141, "insert_order"},
			stackFrame{"orders/views.py", 66, "create_order"}),
	}
	orderFailed = &exceptionKind{
		kind: "OrderNotSaved", message: "order %s was rolled back", in: "/srv/orders",
		stack: stack(flaskFrames,
			stackFrame{"orders/repository.py", 158, "insert_order"},
			stackFrame{"orders/views.py", 66, "create_order"}),
	}
	badFeature = &exceptionKind{
		kind: "KeyError", message: "'embedding_v3'", in: "/srv/recommendations",
		stack: stack(flaskFrames,
			stackFrame{"recommendations/ranking.py", 212, "score"},
			stackFrame{"recommendations/ranking.py", 187, "rank"},
			stackFrame{"recommendations/views.py", 31, "for_customer"}),
	}
	indexReset = &exceptionKind{
		kind: "java.io.IOException", message: "Connection reset by peer [host=http://search-index.internal:9200, node=%s]", remote: true, in: "/srv/search",
		stack: []stackFrame{
			{"RestClient.java", 934, "org.opensearch.client.RestClient.extractAndWrapCause"},
			{"RestClient.java", 307, "org.opensearch.client.RestClient.performRequest"},
			{"IndexGateway.java", 81, "shop.search.IndexGateway.query"},
			{"SearchHandler.java", 40, "shop.search.SearchHandler.handle"},
		},
	}
	renderFailed = &exceptionKind{
		kind: "TypeError", message: "Cannot read properties of undefined (reading '%s')", in: "/srv/web",
		stack: stack(expressFrames,
			stackFrame{"/srv/web/dist/views/price.js", 18, "formatPrice"},
			stackFrame{"/srv/web/dist/views/product.js", 77, "renderProduct"},
			stackFrame{"/srv/web/dist/routes/product.js", 41, "anonymous"}),
	}
	badInvoice = &exceptionKind{
		kind: "InvoiceError", message: "no tax rate for country %s", in: "/var/task",
		stack: []stackFrame{
			{"/var/task/invoice.js", 58, "lineTotals"},
			{"/var/task/index.js", 33, "handleRecord"},
			{"file:///var/runtime/index.mjs", 1173, "Runtime.handleOnceNonStreaming"},
		},
	}
	outOfMemory = &exceptionKind{
		kind: "MemoryError", message: "Unable to allocate %s MiB for an array with shape (18400000, 12) and data type float64", in: "/srv/reports", cut: 6,
		stack: []stackFrame{
			{"pandas/core/frame.py", 1205, "values"},
			{"reports/aggregate.py", 93, "pivot"},
			{"reports/jobs.py", 48, "run"},
		},
	}
	statementCancelled = &exceptionKind{
		kind: "QueryCanceled", message: "canceling statement due to statement timeout after %s s", remote: true, in: "/srv/reports",
		stack: []stackFrame{
			{"psycopg/cursor.py", 97, "execute"},
			{"reports/collect.py", 51, "lines_of_month"},
			{"reports/jobs.py", 39, "run"},
		},
	}
)

// timeouts is what a caller raises when it loses patience, by language.
var timeouts = map[*dialect]*exceptionKind{
	goSDK: {kind: "url.Error", message: `Get "http://%s.shop.internal": context deadline exceeded (after %s ms)`, in: "/app",
		stack: stack(goFrames, stackFrame{"net/http/client.go", 588, "(*Client).do"})},
	javaSDK: {kind: "java.net.http.HttpTimeoutException", message: "request to %s timed out after %s ms", in: "/srv/app", cut: 22,
		stack: stack(springFrames, stackFrame{"HttpClientImpl.java", 605, "jdk.internal.net.http.HttpClientImpl.send"})},
	nodeSDK: {kind: "AbortError", message: "The operation was aborted: %s did not answer within %s ms", in: "/srv/web",
		stack: stack(expressFrames, stackFrame{"node:internal/deps/undici/undici", 13510, "fetch"})},
	pythonSDK: {kind: "ReadTimeout", message: "HTTPConnectionPool(host='%s.shop.internal', port=80): Read timed out. (read timeout=%s ms)", in: "/srv/app",
		stack: stack(flaskFrames, stackFrame{"requests/adapters.py", 690, "send"})},
	rubyOtel: {kind: "Net::ReadTimeout", message: "Net::ReadTimeout with %s after %s ms", in: "/app",
		stack: []stackFrame{{"lib/net/protocol.rb", 229, "rbuf_fill"}, {"app/clients/shop_client.rb", 34, "get"}, {"app/controllers/api_controller.rb", 21, "show"}}},
}

// userAgents is how callers name themselves.
var userAgents = map[*dialect]string{
	goSDK: "Go-http-client/2.0", javaSDK: "Java-http-client/21.0.8", nodeSDK: "node", pythonSDK: "python-requests/2.32.5",
	dotnetSDK: "shop-payments/2", rubyOtel: "Faraday v2.13.4", javaOtel: "Java-http-client/21.0.8",
}

// raise gives an entity an exception, with the chain that led to it, and marks
// the entity as failed.
func (f *frame) raise(e *entity, x *exceptionKind, args ...string) {
	if x == nil {
		x = timeouts[javaSDK]
	}
	e.fault = true
	e.cause = cause{directory: x.in}
	id := f.newID()
	f.failure = id
	for ; x != nil; x = x.because {
		one := exception{id: id, kind: x.kind, message: fill(x.message, &args), remote: x.remote, stack: x.stack, truncated: x.cut}
		if x.because != nil {
			id = f.newID()
			one.cause = id
		}
		e.cause.exceptions = append(e.cause.exceptions, one)
	}
	if f.from.dialect == nodeSDK {
		e.cause.paths = nodePaths
	}
}

var nodePaths = []string{"/srv/web/node_modules", "/srv/node_modules"}

// fill puts one argument after the other in the place of each %s, and leaves
// the others for what comes next in the chain.
func fill(message string, args *[]string) string {
	for len(*args) > 0 && strings.Contains(message, "%s") {
		message = strings.Replace(message, "%s", (*args)[0], 1)
		*args = (*args)[1:]
	}
	return message
}
