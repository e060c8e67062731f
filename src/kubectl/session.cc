#include "kubectl/session.h"

#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "base/host_port.h"
#include "base/version.h"
#include "client/kubeconfig.h"
#include "kubectl/command.h"
#include "kubectl/connection.h"
#include "kubectl/credential_plugin.h"
#include "kubectl/errors.h"
#include "kubectl/tabwriter.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/status_codec.h"
#include "machinery/time.h"
#include "net/http_proxy.h"

namespace keles::kubectl {
namespace {

constexpr std::string_view kDiscovery =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
constexpr int kBusyRetries = 10;

// "299 - \"text\"" -> text
std::string warning_text(std::string_view header) {
  size_t open = header.find('"');
  if (open == header.npos) return "";
  std::string out;
  for (size_t i = open + 1; i < header.size() && header[i] != '"'; ++i) {
    if (header[i] == '\\' && i + 1 < header.size()) ++i;
    out += header[i];
  }
  return out;
}

// The server's Status, its reason left out where it has none; of an answer that is no Status, what
// client libraries say.
Status answer_error(std::string_view body, int code) {
  Result<Document> d = parse_json(body);
  if (d.ok() && d->root["kind"].as_string() == "Status") {
    Status s = status_from_value(d->root, code);
    if (!d->root["reason"].as_string().empty()) return s;
    return Status(Reason::kUnknown, s.message(), s.details(), code);
  }
  static constexpr std::pair<int, const char*> kTexts[] = {
      {400, "the server rejected our request for an unknown reason"},
      {401, "the server has asked for the client to provide credentials"},
      {404, "the server could not find the requested resource"},
      {405, "the server does not allow this method on the requested resource"},
      {409, "the server reported a conflict"},
      {422, "the server rejected our request due to an error in our request"},
      {429, "the server has received too many requests and has asked us to try again later"},
      {503, "the server is currently unable to handle the request"},
      {504,
       "the server was unable to return a response in the time allotted, but may still be "
       "processing the request"},
  };
  for (const auto& [which, text] : kTexts) {
    if (which == code) return Status(reason_from("", code), text, {}, code);
  }
  std::string text(body.substr(0, 2000));
  if (code < 500) return Status(reason_from("", code), text, {}, code);
  while (text.ends_with('\n')) text.pop_back();
  return Status(
      Reason::kInternalError,
      "an error on the server (\"" + text + "\") has prevented the request from succeeding", {},
      code);
}

Status read_pem(const std::string& file, std::string* into) {
  if (file.empty()) return Status();
  Result<std::string> text = read_file(file, 8u << 20);
  if (!text.ok()) {
    return plain_failure("error: unable to read " + file + ": " + text.status().message());
  }
  *into = *text;
  return Status();
}

Status apply_flags(const ConnectionFlags& flags, ClientConfig* c) {
  if (!flags.token.empty()) {
    c->token = flags.token;
    c->token_file.clear();
  }
  if (!flags.username.empty()) c->username = flags.username;
  if (!flags.password.empty()) c->password = flags.password;
  if (!c->endpoint.tls) return Status();
  net::ClientTls& tls = *c->endpoint.tls;
  if (flags.insecure) {
    tls.insecure = true;
    tls.ca_pem.clear();
  }
  TRY(read_pem(flags.certificate_authority, &tls.ca_pem));
  if (!flags.tls_server_name.empty()) tls.server_name = flags.tls_server_name;
  if (!flags.client_certificate.empty()) {
    net::TlsIdentity id;
    TRY(read_pem(flags.client_certificate, &id.certificate_pem));
    TRY(read_pem(flags.client_key, &id.key_pem));
    tls.identity = id;
  }
  return Status();
}

// The cluster's entry of the choice; null when there is none.
const Value& cluster_of(const Value& config, const KubeconfigChoice& choice) {
  auto named = [&config](const char* list, std::string_view name) -> const Value& {
    for (const Value& v : config[list].items()) {
      if (v["name"].as_string() == name) return v;
    }
    return Value::null();
  };
  std::string_view context = choice.context;
  if (context.empty()) context = config["current-context"].as_string();
  std::string_view cluster = choice.cluster;
  if (cluster.empty()) cluster = named("contexts", context)["context"]["cluster"].as_string();
  return named("clusters", cluster)["cluster"];
}

// The proxy that the cluster names, or else the environment.
Status use_proxy(const std::string& url, ClientConfig* c) {
  std::optional<net::HttpProxy> proxy;
  if (!url.empty()) {
    Result<net::HttpProxy> named = net::parse_proxy_url(url);
    if (!named.ok()) return failure(named.status().message());
    proxy = std::move(*named);
  } else {
    Result<std::optional<net::HttpProxy>> found = net::proxy_of_environment(c->endpoint);
    if (!found.ok()) {
      return plain_failure("Unable to connect to the server: proxyconnect tcp: " +
                           found.status().message());
    }
    proxy = std::move(*found);
  }
  if (proxy) net::connect_through(*proxy, &c->endpoint);
  return Status();
}

// `proxy_url`: what the cluster's entry says.
Result<ClientConfig> configuration(const ConnectionFlags& flags, std::string* proxy_url) {
  KubeconfigChoice choice;
  choice.path = flags.kubeconfig;
  choice.context = flags.context;
  choice.cluster = flags.cluster;
  choice.user = flags.user;
  choice.ns = flags.ns;
  choice.server = flags.server;
  if (!flags.kubeconfig.empty() && !path_exists(flags.kubeconfig)) {
    return failure("stat " + flags.kubeconfig + ": no such file or directory");
  }
  Result<Document> config = read_kubeconfig(flags.kubeconfig);
  if (!config.ok()) return failure(config.status().message());
  const Value& root = config->root;
  bool empty = root["clusters"].empty() && root["contexts"].empty() && flags.server.empty();
  if (empty && flags.context.empty()) {
    // No configuration at all: a pod's own account, or the insecure port of old.
    if (auto own = in_cluster_config(); own.ok()) {
      if (!flags.ns.empty()) own->ns = flags.ns;
      return own;
    }
    choice.server = "http://localhost:8080";
  }
  // Who comes with a token of his own is not asked who he is.
  TRY(use_credential_plugin(*config, choice, flags.token.empty()));
  Result<ClientConfig> c = client_config_of(root, choice);
  if (!c.ok()) return failure(c.status().message());
  *proxy_url = cluster_of(root, choice)["proxy-url"].as_string();
  return c;
}

}  // namespace

void ConnectionFlags::add_to(Flags& flags) {
  flags.add("kubeconfig", &kubeconfig, "Path to the kubeconfig file to use for CLI requests.");
  flags.add("context", &context, "The name of the kubeconfig context to use");
  flags.add("cluster", &cluster, "The name of the kubeconfig cluster to use");
  flags.add("user", &user, "The name of the kubeconfig user to use");
  flags.add("namespace", &ns, "If present, the namespace scope for this CLI request", 'n');
  flags.add("server", &server, "The address and port of the Kubernetes API server", 's');
  flags.add("token", &token, "Bearer token for authentication to the API server");
  flags.add("username", &username, "Username for basic authentication to the API server");
  flags.add("password", &password, "Password for basic authentication to the API server");
  flags.add("as", &as, "Username to impersonate for the operation.");
  flags.add_array("as-group", &as_group, "Group to impersonate, may be repeated.");
  flags.add("as-uid", &as_uid, "UID to impersonate for the operation.");
  flags.add("certificate-authority", &certificate_authority,
            "Path to a cert file for the certificate authority");
  flags.add("client-certificate", &client_certificate, "Path to a client certificate file for TLS");
  flags.add("client-key", &client_key, "Path to a client key file for TLS");
  flags.add("tls-server-name", &tls_server_name,
            "Server name to use for server certificate validation.");
  flags.add("insecure-skip-tls-verify", &insecure,
            "If true, the server's certificate will not be checked for validity.");
  flags.add("request-timeout", &request_timeout,
            "The length of time to wait before giving up on a single server request (1s, 2m, 3h); "
            "0 means don't timeout.");
  flags.add("warnings-as-errors", &warnings_as_errors,
            "Treat warnings received from the server as errors and exit with a non-zero exit code");
  flags.add("v", &verbosity, "Log requests to standard error from level 6 on", 'v');
}

std::string escape_query(std::string_view s) {
  std::string out;
  for (char c : s) {
    auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      char buf[4];
      std::snprintf(buf, sizeof buf, "%%%02X", u);
      out += buf;
    }
  }
  return out;
}

void add_query(std::string& query, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!query.empty()) query += '&';
  query += escape_query(key) + "=" + escape_query(value);
}

Status check_path_segment(std::string_view what, std::string_view name) {
  std::string why;
  if (name == "." || name == "..") why = "may not be '" + std::string(name) + "'";
  for (char c : {'/', '%'}) {
    if (name.find(c) != name.npos) why = std::string("may not contain '") + c + "'";
  }
  if (why.empty()) return Status();
  return failure("invalid " + std::string(what) + " name \"" + std::string(name) + "\": [" + why +
                 "]");
}

Result<ClientConfig> connection_of(const ConnectionFlags& flags) {
  std::string proxy_url;
  TRY_ASSIGN(config, configuration(flags, &proxy_url));
  TRY(apply_flags(flags, &config));
  TRY(use_proxy(proxy_url, &config));
  return std::move(config);
}

net::Headers impersonation_of(const ConnectionFlags& flags) {
  net::Headers out;
  if (!flags.as.empty()) out.add("Impersonate-User", flags.as);
  if (!flags.as_uid.empty()) out.add("Impersonate-Uid", flags.as_uid);
  for (const std::string& g : flags.as_group) out.add("Impersonate-Group", g);
  return out;
}

Result<std::unique_ptr<Session>> Session::open(const ConnectionFlags& flags) {
  TRY_ASSIGN(config, connection_of(flags));
  auto s = std::make_unique<Session>();
  std::string timeout = flags.request_timeout;
  if (!timeout.empty() && timeout.find_first_not_of("0123456789") == timeout.npos) timeout += "s";
  Result<Duration> limit = parse_duration(timeout);
  if (!limit.ok() || limit->count() < 0) {
    return failure(
        "Invalid timeout value. Timeout must be a single integer in seconds, or an "
        "integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)");
  }
  s->timeout_ = *limit;
  s->ns_ = config.ns.empty() ? "default" : config.ns;
  TRY(check_path_segment("namespace", s->ns_));
  s->namespace_given_ = !flags.ns.empty();
  s->warnings_as_errors_ = flags.warnings_as_errors;
  s->verbosity_ = flags.verbosity;
  const std::string& host = config.endpoint.host;
  s->server_ = host.starts_with("unix:") ? host + ":" + std::to_string(config.endpoint.port)
                                         : host_port(host, config.endpoint.port);
  s->server_url_ = (config.endpoint.tls ? "https://" : "http://") + s->server_ + config.path_prefix;
  s->identity_ = impersonation_of(flags);
  HttpsClientOptions options;
  options.user_agent = "kubectl/" + std::string(kGitVersion);
  s->loop_ = make_real_loop();
  s->client_ = std::make_unique<HttpsClient>(*s->loop_, config, options);
  return s;
}

Session::~Session() { client_.reset(); }

Context Session::limited(Context ctx) const {
  return timeout_.count() > 0 ? ctx.with_timeout(timeout_) : ctx;
}

Status Session::transport_error(const Status& s) const {
  if (s.message().find("onnection refused") != std::string::npos) {
    return plain_failure("The connection to the server " + server_ +
                         " was refused - did you specify the right host or port?");
  }
  if (s.is(Reason::kTimeout)) {
    return plain_failure("Unable to connect to the server: net/http: request canceled (" +
                         s.message() + ")");
  }
  return plain_failure("Unable to connect to the server: " + s.message());
}

net::Headers Session::headers_of(const Call& c) const {
  net::Headers headers = identity_;
  headers.add("Accept", c.accept.empty() ? "application/json" : c.accept);
  if (!c.content_type.empty()) headers.add("Content-Type", c.content_type);
  return headers;
}

Status Session::note(const net::Headers& headers) {
  bool any = false;
  for (std::string_view h : headers.get_all("Warning")) {
    std::string text = warning_text(h);
    any = true;
    if (std::find(warned_.begin(), warned_.end(), text) != warned_.end()) continue;
    warned_.push_back(text);
    print_error("Warning: " + escape_terminal(text) + "\n");
  }
  if (any && warnings_as_errors_) {
    return failure(std::to_string(warned_.size()) +
                   (warned_.size() == 1 ? " warning received" : " warnings received"));
  }
  return Status();
}

Task<Result<net::Response>> Session::send(Context ctx, Call c) {
  net::Headers headers = headers_of(c);
  for (int attempt = 0;; ++attempt) {
    Result<net::Response> answer =
        co_await client_->raw(ctx, c.method, c.path, c.query, headers, c.body);
    if (!answer.ok()) co_return transport_error(answer.status());
    if (verbosity_ >= 6) {
      print_error(c.method + " " + server_url_ + c.path + (c.query.empty() ? "" : "?" + c.query) +
                  " " + std::to_string(answer->status) + "\n");
    }
    auto retry = answer->headers.get("Retry-After");
    bool busy = answer->status == 429 || answer->status >= 500;
    if (!busy || !retry || attempt >= kBusyRetries) co_return std::move(answer);
    int seconds = std::clamp(std::atoi(std::string(*retry).c_str()), 1, 60);
    Status slept = co_await ctx.sleep(std::chrono::seconds(seconds));
    if (!slept.ok()) co_return transport_error(slept);
  }
}

Task<Result<std::string>> Session::call_text_async(Context ctx, Call c) {
  Result<net::Response> answer = co_await send(limited(ctx), c);
  if (!answer.ok()) co_return answer.status();
  Status warned = note(answer->headers);
  if (answer->status >= 400) co_return answer_error(answer->body, answer->status);
  if (!warned.ok()) co_return warned;
  co_return std::move(answer->body);
}

Result<std::string> Session::call_text(Call c) {
  return await(call_text_async(context(), std::move(c)));
}

Result<Document> Session::call(Call c) {
  TRY_ASSIGN(text, call_text(std::move(c)));
  Result<Document> doc = parse_json(text);
  if (!doc.ok()) return failure("the server's answer is no JSON: " + doc.status().message());
  return doc;
}

Task<Result<std::unique_ptr<net::ResponseStream>>> Session::open_stream_async(Context ctx, Call c) {
  Result<std::unique_ptr<net::ResponseStream>> r =
      co_await client_->raw_stream(ctx, c.method, c.path, c.query, headers_of(c), c.body);
  if (!r.ok()) co_return transport_error(r.status());
  Status warned = note((*r)->headers());
  int code = (*r)->status();
  if (code < 400) {
    if (!warned.ok()) co_return warned;
    co_return std::move(r);
  }
  std::string body;
  while (body.size() < (1u << 20)) {
    Result<std::string> piece = co_await (*r)->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    body += *piece;
  }
  co_return answer_error(body, code);
}

Result<std::unique_ptr<net::ResponseStream>> Session::open_stream(Context ctx, Call c) {
  return await(open_stream_async(ctx, std::move(c)));
}

Task<Result<std::unique_ptr<net::WebSocket>>> Session::open_websocket(
    Context ctx, std::string path, std::string query, std::vector<std::string> protocols) {
  Result<net::Request> request =
      client_->request("GET", std::move(path), std::move(query), identity_, "");
  if (!request.ok()) co_return failure(request.status().message());
  Result<std::unique_ptr<net::WebSocket>> socket =
      co_await client_->http().websocket(ctx, std::move(*request), std::move(protocols));
  if (socket.ok()) co_return std::move(socket);
  Status s = socket.status();
  if (s.is(Reason::kUnavailable) || s.is(Reason::kOutcomeUnknown) || s.is(Reason::kTimeout)) {
    co_return transport_error(s);
  }
  // The refusal carries the server's answer: its Status is what a person should read.
  size_t body = s.message().find('{');
  if (body != std::string::npos) co_return answer_error(s.message().substr(body), s.code());
  co_return s;
}

Result<const Mapper*> Session::mapper() {
  if (!mapper_) {
    Mapper m;
    for (const char* path : {"/api", "/apis"}) {
      Call c("GET", path);
      c.accept = kDiscovery;
      TRY_ASSIGN(answer, call(std::move(c)));
      if (!answer.root["items"].is_list()) {
        return failure("the server does not offer aggregated discovery (Kubernetes 1.27 or later)");
      }
      m.add(answer.root);
    }
    mapper_ = std::move(m);
  }
  return &*mapper_;
}

}  // namespace keles::kubectl
