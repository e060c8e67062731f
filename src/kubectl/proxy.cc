// proxy: the API server, and files of this machine, over plain HTTP on a local address.
#include "kubectl/proxy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "base/ascii.h"
#include "base/beneath.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/host_port.h"
#include "base/html.h"
#include "base/version.h"
#include "client/https_client.h"
#include "kubectl/connection.h"
#include "kubectl/verbs.h"
#include "net/http.h"
#include "net/stream.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxBody = 64u << 20;
constexpr size_t kPiece = 64u << 10;

struct ProxyFlags {
  std::string www, www_prefix = "/static/", api_prefix = "/", address = "127.0.0.1", unix_socket;
  std::string accept_paths = RequestFilter::kPaths, reject_paths = RequestFilter::kRejectedPaths;
  std::string accept_hosts = RequestFilter::kHosts;
  std::string reject_methods = RequestFilter::kRejectedMethods;
  int64_t port = 8001;
  bool disable_filter = false, append_server_path = false;

  void add_to(Flags& flags) {
    flags.add("www", &www,
              "Also serve static files from the given directory under the specified prefix.", 'w');
    flags.add("www-prefix", &www_prefix,
              "Prefix to serve static files under, if static file directory is specified.", 'P');
    flags.add("api-prefix", &api_prefix, "Prefix to serve the proxied API under.");
    flags.add("accept-paths", &accept_paths,
              "Regular expression for paths that the proxy should accept.");
    flags.add("reject-paths", &reject_paths,
              "Regular expression for paths that the proxy should reject. Paths specified here "
              "will be rejected even accepted by --accept-paths.");
    flags.add("accept-hosts", &accept_hosts,
              "Regular expression for hosts that the proxy should accept.");
    flags.add("reject-methods", &reject_methods,
              "Regular expression for HTTP methods that the proxy should reject (example "
              "--reject-methods='POST,PUT,PATCH'). ");
    flags.add("port", &port, "The port on which to run the proxy. Set to 0 to pick a random port.",
              'p');
    flags.add("address", &address, "The IP address on which to serve on.");
    flags.add("disable-filter", &disable_filter,
              "If true, disable request filtering in the proxy. This is dangerous, and can leave "
              "you vulnerable to XSRF attacks, when used with an accessible port.");
    flags.add("unix-socket", &unix_socket, "Unix socket on which to run the proxy.", 'u');
    flags.add("append-server-path", &append_server_path,
              "If true, enables automatic path appending of the kube context server path to each "
              "request.");
  }
};

struct Proxy {
  Proxy(Loop& loop, ClientConfig config, HttpsClientOptions options, net::Headers identity)
      : client(loop, std::move(config), std::move(options)), identity(std::move(identity)) {}
  HttpsClient client;
  net::Headers identity;  // Impersonate-...
  std::optional<RequestFilter> filter;
  ProxyPrefixes prefixes;
  std::string www;
  bool append_server_path = false;
};

bool hop_by_hop(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kNames{
      "connection", "keep-alive", "transfer-encoding", "te",     "upgrade",
      "trailer",    "trailers",   "proxy-connection",  "expect", "content-length"};
  return std::any_of(kNames.begin(), kNames.end(),
                     [low = ascii_lower(name)](std::string_view n) { return n == low; });
}

net::Headers passed_on(const net::Headers& from) {
  net::Headers out;
  for (const auto& [name, value] : from) {
    if (!hop_by_hop(name) && !from.has_token("connection", name)) out.add(name, value);
  }
  return out;
}

Task<void> answer(net::Responder* responder, int status, std::string text, net::Headers headers) {
  headers.add("Content-Type", "text/plain; charset=utf-8");
  headers.add("X-Content-Type-Options", "nosniff");
  std::vector<net::SharedBytes> body;
  body.push_back(std::make_shared<const std::string>(std::move(text)));
  (void)co_await responder->respond(status, std::move(headers), std::move(body));
}

Task<void> refuse(net::Responder* responder, int status, std::string text) {
  net::Headers none;
  co_await answer(responder, status, std::move(text), std::move(none));
}

Task<void> redirect(net::Responder* responder, std::string to, std::string query) {
  net::Headers headers;
  headers.add("Location", query.empty() ? to : to + "?" + query);
  co_await answer(responder, 301, "Moved Permanently\n", std::move(headers));
}

// --- the API ---

Result<net::Request> request_of(Proxy& proxy, const net::Request& from, std::string path) {
  net::Headers headers = passed_on(from.headers);
  headers.erase("host");
  std::string peer = from.remote_address.substr(0, from.remote_address.rfind(':'));
  std::erase_if(peer, [](char c) { return c == '[' || c == ']'; });
  if (!peer.empty() && !peer.starts_with("unix")) {
    auto already = from.headers.get("X-Forwarded-For");
    headers.set("X-Forwarded-For", (already ? std::string(*already) + ", " : "") + peer);
  }
  for (const auto& [name, value] : proxy.identity) headers.add(name, value);
  auto agent = from.headers.get("User-Agent"), own = from.headers.get("Authorization");
  TRY_ASSIGN(out,
             proxy.client.request(from.method, path, from.query, std::move(headers), from.body));
  if (!proxy.append_server_path) out.path = std::move(path);
  if (agent) out.headers.set("User-Agent", std::string(*agent));
  if (own) out.headers.set("Authorization", std::string(*own));
  return out;
}

Task<void> forward_upgrade(Context ctx, Proxy* proxy, std::string protocol, net::Request request,
                           net::Responder* responder) {
  request.headers.set("Connection", "Upgrade");
  request.headers.set("Upgrade", protocol);
  auto up = co_await proxy->client.http().upgrade(ctx, std::move(request));
  if (!up.ok()) {
    co_await refuse(responder, 500, up.status().message() + "\n");
    co_return;
  }
  net::Headers headers = passed_on(up->headers);
  if (up->status != 101 || !up->stream) {
    std::vector<net::SharedBytes> body;
    body.push_back(std::make_shared<const std::string>(std::move(up->body)));
    (void)co_await responder->respond(up->status, std::move(headers), std::move(body));
    co_return;
  }
  auto mine = co_await responder->accept_upgrade(protocol, std::move(headers));
  if (!mine.ok()) co_return;
  (void)co_await net::relay(ctx, mine->get(), up->stream.get());
}

Task<void> forward(Context ctx, Proxy* proxy, net::Request* from, std::string path,
                   net::Responder* responder) {
  auto request = request_of(*proxy, *from, std::move(path));
  if (!request.ok()) {
    co_await refuse(responder, 500, request.status().message() + "\n");
    co_return;
  }
  auto upgrade = from->headers.get("Upgrade");
  if (upgrade && from->headers.has_token("Connection", "upgrade")) {
    std::string protocol(*upgrade);
    co_await forward_upgrade(ctx, proxy, protocol, std::move(*request), responder);
    co_return;
  }
  auto opened = co_await proxy->client.http().open(ctx, std::move(*request));
  if (!opened.ok()) {
    print_error("Error while proxying request: " + opened.status().message() + "\n");
    co_await refuse(responder, 502, opened.status().message() + "\n");
    co_return;
  }
  std::unique_ptr<net::ResponseStream> stream = std::move(*opened);
  net::Headers headers = passed_on(stream->headers());
  Status begun = co_await responder->begin(stream->status(), std::move(headers));
  while (begun.ok()) {
    auto piece = co_await stream->read(ctx);
    if (!piece.ok()) co_return;  // cut off there, cut off here
    if (piece->empty()) break;
    std::vector<net::SharedBytes> parts;
    parts.push_back(std::make_shared<const std::string>(std::move(*piece)));
    begun = co_await responder->write(std::move(parts));
  }
  if (begun.ok()) (void)co_await responder->finish();
}

// --- files ---

std::string content_type(const std::string& name, std::string_view beginning) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".css", "text/css; charset=utf-8"},
      {".gif", "image/gif"},
      {".htm", "text/html; charset=utf-8"},
      {".html", "text/html; charset=utf-8"},
      {".jpeg", "image/jpeg"},
      {".jpg", "image/jpeg"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".pdf", "application/pdf"},
      {".png", "image/png"},
      {".svg", "image/svg+xml"},
      {".wasm", "application/wasm"},
      {".webp", "image/webp"},
      {".xml", "text/xml; charset=utf-8"}};
  for (const auto& [extension, type] : kTypes) {
    if (name.ends_with(extension)) return std::string(type);
  }
  bool text = std::none_of(beginning.begin(), beginning.end(), [](char c) {
    auto u = static_cast<unsigned char>(c);
    return u < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b;
  });
  return text ? "text/plain; charset=utf-8" : "application/octet-stream";
}

std::string listing(const std::string& directory) {
  std::string out =
      "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
  Result<std::vector<std::string>> names = list_directory(directory);
  for (std::string name : names.ok() ? *names : std::vector<std::string>()) {
    struct stat st {};
    if (::stat((directory + name).c_str(), &st) == 0 && S_ISDIR(st.st_mode)) name += '/';
    out += "<a href=\"" + percent_encode(name, "/") + "\">" + html_escaped(name) + "</a>\n";
  }
  return out + "</pre>\n";
}

Task<void> serve_file(Context ctx, const std::string path, const net::Request* request,
                      net::Responder* responder) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat st {};
  if (!file.open() || ::fstat(file.get(), &st) < 0 || !S_ISREG(st.st_mode)) {
    const bool forbidden = !file.open() && errno == EACCES;
    const int status = forbidden ? 403 : 404;
    std::string text = forbidden ? "403 Forbidden\n" : "404 page not found\n";
    co_await refuse(responder, status, std::move(text));
    co_return;
  }
  std::string piece(kPiece, '\0');
  bool first = true;
  while (!ctx.done()) {
    piece.resize(kPiece);
    ssize_t n = ::read(file.get(), piece.data(), piece.size());
    piece.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (first) {
      net::Headers headers;
      headers.add("Content-Type", content_type(path, piece));
      Status begun = co_await responder->begin(200, std::move(headers));
      if (!begun.ok()) co_return;
    }
    first = false;
    if (piece.empty() || request->method == "HEAD") break;
    std::vector<net::SharedBytes> parts;
    parts.push_back(std::make_shared<const std::string>(piece));
    Status written = co_await responder->write(std::move(parts));
    if (!written.ok()) co_return;
  }
  (void)co_await responder->finish();
}

Task<void> serve_files(Context ctx, Proxy* proxy, net::Request* request, std::string path,
                       net::Responder* responder) {
  constexpr std::string_view kIndex = "/index.html";
  std::string base = request->path.substr(0, request->path.find_last_of('/') + 1);
  if (path.ends_with(kIndex)) {
    co_await redirect(responder, base, request->query);
    co_return;
  }
  std::string file = proxy->www + path;
  struct stat st {};
  const bool found = ::stat(file.c_str(), &st) == 0;
  const bool directory = found && S_ISDIR(st.st_mode);
  if (directory && !path.ends_with('/')) {
    co_await redirect(responder, request->path + "/", request->query);
    co_return;
  }
  if (found && !directory && path.ends_with('/')) {
    std::string without = request->path.substr(0, request->path.size() - 1);
    co_await redirect(responder, without, request->query);
    co_return;
  }
  if (!directory || path_exists(file + "index.html")) {
    if (directory) file += "index.html";
    co_await serve_file(ctx, file, request, responder);
    co_return;
  }
  net::Headers headers;
  headers.add("Content-Type", "text/html; charset=utf-8");
  std::vector<net::SharedBytes> body;
  body.push_back(std::make_shared<const std::string>(listing(file)));
  (void)co_await responder->respond(200, std::move(headers), std::move(body));
}

// --- the server ---

Task<void> serve(Context ctx, Proxy* proxy, net::Request* request, net::Responder* responder) {
  if (request->body_too_large) {
    co_await refuse(responder, 413, "Request Entity Too Large\n");
    co_return;
  }
  ProxyRoute route = route_of(proxy->prefixes, request->path);
  if (route.to == ProxyRoute::To::kNowhere) {
    co_await refuse(responder, 404, "404 page not found\n");
    co_return;
  }
  if (route.to == ProxyRoute::To::kRedirect) {
    co_await redirect(responder, route.path, request->query);
    co_return;
  }
  if (route.to == ProxyRoute::To::kFiles) {
    co_await serve_files(ctx, proxy, request, route.path, responder);
    co_return;
  }
  std::string decoded = percent_decode(route.path).value_or("");
  std::string host(request->headers.get("Host").value_or(""));
  if (proxy->filter && !proxy->filter->accepts(request->method, decoded, host)) {
    co_await refuse(responder, 403, "Forbidden\n");
    co_return;
  }
  co_await forward(ctx, proxy, request, route.path, responder);
}

// A path that is in the way is removed when it is a socket.
Result<std::unique_ptr<net::Server>> listen(Loop& loop, const ProxyFlags& f, Proxy* proxy) {
  net::ServerOptions options;
  options.max_body_bytes = kMaxBody;
  options.address = f.address == "localhost" ? "127.0.0.1" : f.address;
  std::erase_if(options.address, [](char c) { return c == '[' || c == ']'; });
  options.port = static_cast<uint16_t>(f.port);
  mode_t before = 0;
  if (!f.unix_socket.empty()) {
    struct stat st {};
    if (::lstat(f.unix_socket.c_str(), &st) == 0 && !S_ISSOCK(st.st_mode)) {
      return failure("listen unix " + f.unix_socket + ": bind: address already in use");
    }
    options.address = "unix:" + f.unix_socket;
    options.port = 0;
    before = ::umask(0077);
  }
  auto server = net::Server::start(
      {&loop}, options, [proxy](Context ctx, net::Request* request, net::Responder* responder) {
        return serve(ctx, proxy, request, responder);
      });
  if (!f.unix_socket.empty()) ::umask(before);
  if (server.ok()) return server;
  std::string why = server.status().message();
  std::string where = f.address + ":" + std::to_string(f.port);
  size_t colon = why.rfind(": ");
  if (colon != why.npos) why = why.substr(colon + 2);
  why = ascii_lower(why.substr(0, 1)) + why.substr(std::min<size_t>(why.size(), 1));
  return failure("listen tcp " + where + ": bind: " + why);
}

}  // namespace

Status proxy(Invocation& in) {
  ProxyFlags f;
  f.add_to(in.flags);
  TRY(in.parse());
  if (!f.www_prefix.ends_with('/')) f.www_prefix += '/';
  if (!f.api_prefix.ends_with('/')) f.api_prefix += '/';
  TRY_ASSIGN(config, connection_of(in.connection()));
  const std::string server_path = config.path_prefix;
  HttpsClientOptions options;
  options.user_agent = "kubectl/" + std::string(kGitVersion);
  std::unique_ptr<RealLoop> loop = make_real_loop();
  Proxy p(*loop, config, options, impersonation_of(in.connection()));
  if (!f.append_server_path && !server_path.empty()) {
    print_error("Warning: Your kube context contains a server path " + server_path +
                ", use --append-server-path to automatically append the path to each request\n");
  }
  if (!f.disable_filter) {
    Status compiled =
        p.filter.emplace().set(f.accept_paths, f.reject_paths, f.accept_hosts, f.reject_methods);
    if (!compiled.ok()) {
      return plain_failure("Error compiling re: " + compiled.message(), 255);
    }
  } else if (f.unix_socket.empty()) {
    print_error(
        "Warning: Request filter disabled, your proxy is vulnerable to XSRF attacks, please be "
        "cautious\n");
  }
  if (f.port != 8001 && !f.unix_socket.empty()) {
    return failure("cannot set --unix-socket and --port at the same time");
  }
  if (f.port < 0 || f.port > 65535) {
    return failure("listen tcp: address " + std::to_string(f.port) + ": invalid port");
  }
  if (!f.www.empty()) {
    struct stat st {};
    if (::stat(f.www.c_str(), &st) < 0) {
      print_error("Warning: Failed to stat static file directory " + f.www + "\n");
    } else if (!S_ISDIR(st.st_mode)) {
      print_error("Warning: Static file directory " + f.www + " is not a directory\n");
    }
    p.prefixes.files = f.www_prefix;
    p.www = f.www;
  }
  p.prefixes.api = f.api_prefix;
  p.append_server_path = f.append_server_path;
  TRY_ASSIGN(server, listen(*loop, f, &p));
  std::string where =
      f.unix_socket.empty()
          ? host_port(f.address == "localhost" ? "127.0.0.1" : f.address, server->port())
          : f.unix_socket;
  print("Starting to serve on " + where + "\n");
  std::fflush(stdout);
  loop->run();  // until a signal ends the process
  return Status();
}

}  // namespace keles::kubectl
