#include "keles/component_server.h"

#include <algorithm>
#include <optional>

#include "api/core_v1.h"
#include "base/ascii.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/version.h"
#include "client/kubeconfig.h"
#include "keles/serving_pair.h"
#include "machinery/codec_json.h"
#include "machinery/status_codec.h"
#include "server/health_page.h"
#include "server/http/request_info.h"

namespace keles {
namespace {

constexpr char kPlain[] = "text/plain; charset=utf-8";
constexpr char kMetrics[] = "text/plain; version=0.0.4; charset=utf-8";

Task<void> answer(net::Responder* out, int status, std::string type, std::string body) {
  net::Headers headers;
  headers.add("Content-Type", std::move(type));
  headers.add("X-Content-Type-Options", "nosniff");
  headers.add("Cache-Control", "no-cache, private");
  std::vector<net::SharedBytes> parts = net::as_body(std::move(body));
  (void)co_await out->respond(status, std::move(headers), std::move(parts));
}

bool below(std::string_view path, std::string_view root) {
  return path == root || (path.starts_with(root) && path.substr(root.size()).starts_with('/'));
}

Result<std::unique_ptr<HttpsClient>> client_of(Loop& loop, const std::string& file,
                                               const std::string& name) {
  if (file.empty()) return std::unique_ptr<HttpsClient>();
  KubeconfigChoice choice;
  choice.path = file;
  TRY_ASSIGN(config, load_client_config(choice));
  HttpsClientOptions options;
  options.user_agent = name + "/" + std::string(kGitVersion);
  return std::make_unique<HttpsClient>(loop, config, options);
}

// A JSON list of texts, as the ConfigMap has them.
std::vector<std::string> texts_of(std::string_view json) {
  std::vector<std::string> out;
  auto doc = parse_json(json);
  if (!doc.ok()) return out;
  for (const Value& v : doc->root.items()) out.emplace_back(v.as_string());
  return out;
}

}  // namespace

ServingFlags::ServingFlags() {
  proxy.username_headers = {"x-remote-user"};
  proxy.group_headers = {"x-remote-group"};
  proxy.extra_prefixes = {"x-remote-extra-"};
}

void ServingFlags::add(Flags& f) {
  f.add("bind-address", &bind_address,
        "The IP address on which to listen for the --secure-port port.");
  f.add("secure-port", &secure_port,
        "The port on which to serve HTTPS with authentication and authorization. If 0, don't serve "
        "HTTPS at all.");
  f.add("cert-dir", &cert_dir,
        "The directory where the TLS certs are located, which are made when they are missing. If "
        "--tls-cert-file and --tls-private-key-file are provided, this flag will be ignored.");
  f.add("tls-cert-file", &certificate_file,
        "File containing the default x509 Certificate for HTTPS, and its CA's after it. When "
        "neither this nor --cert-dir is given, a self-signed certificate is made.");
  f.add("tls-private-key-file", &key_file,
        "File containing the default x509 private key matching --tls-cert-file.");
  f.add("authentication-kubeconfig", &authentication_kubeconfig,
        "kubeconfig file pointing at the 'core' kubernetes server with enough rights to create "
        "tokenreviews.authentication.k8s.io. If empty, all token requests are considered to be "
        "anonymous and no client CA is looked up in the cluster.");
  f.add("authentication-skip-lookup", &skip_lookup,
        "If false, the authentication-kubeconfig will be used to lookup missing authentication "
        "configuration from the cluster.");
  f.add("authentication-tolerate-lookup-failure", &tolerate_lookup_failure,
        "If true, failures to look up missing authentication configuration from the cluster are "
        "not considered fatal. Note that this can result in authentication that treats all "
        "requests as anonymous.");
  f.add("authentication-token-webhook-cache-ttl", &token_ttl,
        "The duration to cache responses from the webhook token authenticator.");
  f.add("client-ca-file", &client_ca,
        "If set, any request presenting a client certificate signed by one of the authorities in "
        "the client-ca-file is authenticated with an identity corresponding to the CommonName of "
        "the client certificate.");
  f.add("requestheader-client-ca-file", &front_proxy_ca,
        "Root certificate bundle to use to verify client certificates on incoming requests before "
        "trusting usernames in headers specified by --requestheader-username-headers.");
  f.add(
      "requestheader-allowed-names", &proxy.allowed_names,
      "List of client certificate common names to allow to provide usernames in headers specified "
      "by --requestheader-username-headers. If empty, any client certificate validated by the "
      "authorities in --requestheader-client-ca-file is allowed.");
  f.add("requestheader-username-headers", &proxy.username_headers,
        "List of request headers to inspect for usernames. X-Remote-User is common.");
  f.add("requestheader-uid-headers", &proxy.uid_headers,
        "List of request headers to inspect for UIDs. X-Remote-Uid is suggested.");
  f.add("requestheader-group-headers", &proxy.group_headers,
        "List of request headers to inspect for groups. X-Remote-Group is suggested.");
  f.add("requestheader-extra-headers-prefix", &proxy.extra_prefixes,
        "List of request header prefixes to inspect. X-Remote-Extra- is suggested.");
  f.add("authorization-kubeconfig", &authorization_kubeconfig,
        "kubeconfig file pointing at the 'core' kubernetes server with enough rights to create "
        "subjectaccessreviews.authorization.k8s.io. If empty, all requests not skipped by "
        "authorization are forbidden.");
  f.add("authorization-webhook-cache-authorized-ttl", &allowed_ttl,
        "The duration to cache 'authorized' responses from the webhook authorizer.");
  f.add("authorization-webhook-cache-unauthorized-ttl", &refused_ttl,
        "The duration to cache 'unauthorized' responses from the webhook authorizer.");
  f.add("authorization-always-allow-paths", &always_allowed,
        "A list of HTTP paths to skip during authorization, i.e. these are authorized without "
        "contacting the 'core' kubernetes server.");
}

ComponentServer::ComponentServer(Loop& loop, ServingFlags flags, ComponentPages pages)
    : loop_(loop), flags_(std::move(flags)), pages_(std::move(pages)) {
  about_.name = pages_.name;
  about_.git_version = kGitVersion;
  about_.started = loop.wall_now();
  about_.flags = pages_.flags;
  about_.paths = {"/configz", "/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz"};
  auth_options_.anonymous = true;
  auth_options_.token_ttl = flags_.token_ttl;
  auth_options_.allowed_ttl = flags_.allowed_ttl;
  auth_options_.refused_ttl = flags_.refused_ttl;
  auth_options_.proxy = flags_.proxy;
}
ComponentServer::~ComponentServer() = default;

Status ComponentServer::connect() {
  TRY_ASSIGN(who, client_of(loop_, flags_.authentication_kubeconfig, pages_.name));
  TRY_ASSIGN(whether, client_of(loop_, flags_.authorization_kubeconfig, pages_.name));
  who_ = std::move(who);
  whether_ = std::move(whether);
  auth_options_.token_webhook = who_ != nullptr;
  return {};
}

Status ComponentServer::read_flags() {
  if (!flags_.client_ca.empty()) {
    TRY_ASSIGN(ca, read_file(flags_.client_ca));
    auth_options_.client_ca_pem = ca;
  }
  if (!flags_.front_proxy_ca.empty()) {
    TRY_ASSIGN(ca, read_file(flags_.front_proxy_ca));
    auth_options_.proxy.ca_pem = ca;
  }
  return {};
}

Task<Status> ComponentServer::look_up(Context ctx) {
  const bool all_known = !flags_.client_ca.empty() && !flags_.front_proxy_ca.empty();
  if (all_known || flags_.skip_lookup || !who_) co_return Status();
  Context limit = ctx.with_timeout(10s);
  auto map = co_await who_->get<api::core_v1::ConfigMap>(limit, "kube-system",
                                                         "extension-apiserver-authentication");
  if (!map.ok()) {
    Status why =
        map.status().with_prefix("unable to load configmap based request-header-client-ca-file");
    if (!flags_.tolerate_lookup_failure) co_return why;
    log::warn("Who may ask is not known from the cluster: client certificates name nobody",
              {{"err", why}});
    co_return Status();
  }
  const auto entry = [&map](std::string_view key) {
    for (auto [name, value] : (*map)->data()) {
      if (name == key) return std::string(value);
    }
    return std::string();
  };
  if (flags_.client_ca.empty()) auth_options_.client_ca_pem = entry("client-ca-file");
  if (flags_.front_proxy_ca.empty()) {
    TrustedProxy& p = auth_options_.proxy;
    p.ca_pem = entry("requestheader-client-ca-file");
    p.allowed_names = texts_of(entry("requestheader-allowed-names"));
    p.username_headers = texts_of(entry("requestheader-username-headers"));
    p.uid_headers = texts_of(entry("requestheader-uid-headers"));
    p.group_headers = texts_of(entry("requestheader-group-headers"));
    p.extra_prefixes = texts_of(entry("requestheader-extra-headers-prefix"));
  }
  co_return Status();
}

Status ComponentServer::listen() {
  who_is_ = std::make_unique<DelegatedAuth>(auth_options_, who_.get());
  who_may_ = std::make_unique<DelegatedAuth>(auth_options_, whether_.get());
  ServingPair pair;
  pair.certificate_file = flags_.certificate_file;
  pair.key_file = flags_.key_file;
  pair.directory = flags_.cert_dir;
  pair.name = pages_.name;
  pair.common_name = "localhost";
  pair.dns_names = {"localhost"};
  pair.ip_addresses = {"127.0.0.1"};
  net::ServerOptions options;
  TRY_ASSIGN(identity, serving_identity(pair, loop_.wall_now()));
  options.tls = identity;
  options.address = flags_.bind_address;
  options.port = static_cast<uint16_t>(flags_.secure_port);
  options.client_ca_pem = auth_options_.client_ca_pem;
  if (!auth_options_.proxy.ca_pem.empty()) {
    options.client_ca_pem += "\n" + auth_options_.proxy.ca_pem;
  }
  options.max_body_bytes = 64 * 1024;
  options.max_header_bytes = 64 * 1024;
  options.max_connections = 200;
  auto server = net::Server::start({&loop_}, options,
                                   [this](Context ctx, net::Request* request, net::Responder* out) {
                                     return serve(std::move(ctx), request, out);
                                   });
  if (!server.ok()) {
    return Status::bad_request("failed to create listener: --bind-address and --secure-port: " +
                               server.status().message());
  }
  server_ = std::move(*server);
  log::info("Serving securely", {{"address", flags_.bind_address}, {"port", server_->port()}});
  return {};
}

Task<Result<std::unique_ptr<ComponentServer>>> ComponentServer::start(Context ctx,
                                                                      ServingFlags flags,
                                                                      ComponentPages pages) {
  std::unique_ptr<ComponentServer> out;
  if (flags.secure_port == 0) co_return std::move(out);
  if (flags.secure_port < 0 || flags.secure_port > 65535) {
    co_return Status::bad_request(
        "--secure-port " + std::to_string(flags.secure_port) +
        " must be between 0 and 65535, inclusive. 0 for turning off secure port");
  }
  out.reset(new ComponentServer(ctx.loop(), std::move(flags), std::move(pages)));
  Status s = out->connect();
  if (s.ok()) s = out->read_flags();
  if (s.ok()) s = co_await out->look_up(ctx);
  if (s.ok()) s = out->listen();
  if (!s.ok()) co_return s;
  co_return std::move(out);
}

Task<void> ComponentServer::stop(Context ctx) { co_await server_->stop(std::move(ctx)); }

bool ComponentServer::is_always_allowed(std::string_view path) const {
  const std::vector<std::string>& all = flags_.always_allowed;
  return std::any_of(all.begin(), all.end(), [&](const std::string& allowed) {
    if (allowed.ends_with("/*")) {
      return path.starts_with(std::string_view(allowed).substr(0, allowed.size() - 1));
    }
    return path == allowed;
  });
}

Task<Status> ComponentServer::admit(Context ctx, const net::Request* request) {
  auto user = co_await who_is_->authenticate(ctx, request);
  if (!user.ok()) {
    if (!user.status().is(Reason::kUnauthorized)) {
      log::error("Unable to authenticate the request", {{"err", user.status()}});
    }
    co_return Status::unauthorized();
  }
  if (is_always_allowed(request->path)) co_return Status();
  const auto& groups = user->groups;
  if (std::find(groups.begin(), groups.end(), "system:masters") != groups.end()) co_return Status();
  AccessQuestion question;
  question.verb = ascii_lower(request->method);
  question.path = request->path;
  const std::string said = "forbidden: User \"" + user->name + "\" cannot " + question.verb +
                           " path \"" + request->path + "\"";
  if (!whether_) co_return Status(Reason::kForbidden, said);
  auto allowed = co_await who_may_->may(ctx, *user, std::move(question));
  if (!allowed.ok()) {
    log::error("Unable to authorize the request", {{"err", allowed.status()}});
    co_return allowed.status();
  }
  if (*allowed) co_return Status();
  co_return Status(Reason::kForbidden, said);
}

Task<void> ComponentServer::serve(Context ctx, net::Request* request, net::Responder* out) {
  Status admitted = co_await admit(ctx, request);
  if (!admitted.ok()) {
    std::string body = status_to_json(admitted);
    co_await answer(out, admitted.code(), "application/json", std::move(body));
    co_return;
  }
  const std::string& path = request->path;
  if (request->method != "GET" && request->method != "HEAD") {
    co_await answer(out, 405, kPlain, "Method Not Allowed\n");
    co_return;
  }
  for (const char* endpoint : {"/healthz", "/livez", "/readyz"}) {
    if (!below(path, endpoint)) continue;
    HealthQuestion q;
    q.endpoint = endpoint + 1;
    if (path.size() > q.endpoint.size() + 2) q.only = path.substr(q.endpoint.size() + 2);
    const server::Query query = server::Query::parse(request->query);
    for (std::string& e : query.get_all("exclude")) q.excluded.insert(std::move(e));
    q.verbose = query.find("verbose") != nullptr;
    HealthPage page = health_page(*pages_.health, q, [](const std::string&, bool) {});
    co_await answer(out, page.status, kPlain, std::move(page.text));
    co_return;
  }
  if (path == "/metrics") {
    std::string body = metrics::expose();
    co_await answer(out, 200, kMetrics, std::move(body));
    co_return;
  }
  if (path == "/configz") {
    co_await answer(out, 200, "application/json", pages_.configz);
    co_return;
  }
  auto page = zpage(about_, path, request->headers.get("accept").value_or(""));
  if (!page) {
    co_await answer(out, 404, kPlain, "404 page not found\n");
    co_return;
  }
  std::string type = page->content_type.empty() ? kPlain : page->content_type;
  co_await answer(out, page->status, std::move(type), std::move(page->body));
}

}  // namespace keles
