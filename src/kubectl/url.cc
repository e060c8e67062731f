#include "kubectl/url.h"

#include <utility>

#include "base/encoding.h"
#include "base/loop.h"
#include "base/run_task.h"
#include "base/version.h"
#include "client/kubeconfig.h"
#include "kubectl/errors.h"
#include "net/http.h"
#include "net/http_proxy.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxBytes = 64u << 20;
constexpr int kAttempts = 3, kMaxRedirections = 10;
constexpr Duration kLimit = 120s;  // of one attempt

// Where a redirection leads, seen from the URL that said so.
std::string resolve(const std::string& from, const std::string& to) {
  if (to.find("://") != to.npos) return to;
  size_t authority = from.find("://") + 3;
  if (to.starts_with("//")) return from.substr(0, authority - 2) + to;
  size_t path = from.find_first_of("/?#", authority);
  std::string host = from.substr(0, path);
  if (to.starts_with('/')) return host + to;
  std::string directory = path == from.npos ? "/" : from.substr(path);
  directory = directory.substr(0, directory.find_first_of("?#"));
  return host + directory.substr(0, directory.rfind('/') + 1) + to;
}

std::string status_text(int status) {
  static constexpr std::pair<int, const char*> kTexts[] = {{400, "Bad Request"},
                                                           {401, "Unauthorized"},
                                                           {403, "Forbidden"},
                                                           {404, "Not Found"},
                                                           {410, "Gone"},
                                                           {429, "Too Many Requests"},
                                                           {500, "Internal Server Error"},
                                                           {502, "Bad Gateway"},
                                                           {503, "Service Unavailable"},
                                                           {504, "Gateway Timeout"}};
  for (const auto& [code, text] : kTexts) {
    if (code == status) return text;
  }
  return "";
}

struct Place {
  net::Endpoint endpoint;
  std::string path, query;
};

Result<Place> place_of(std::string url) {
  url = url.substr(0, url.find('#'));
  size_t mark = url.find('?');
  Place out;
  if (mark != url.npos) out.query = url.substr(mark + 1);
  url = url.substr(0, mark);
  size_t slash = url.find('/', url.find("://") + 3);
  out.path = slash == url.npos ? "/" : net::encode_target(url.substr(slash));
  ClientConfig config;
  TRY(parse_server_url(url.substr(0, slash), &config));
  out.endpoint = config.endpoint;
  TRY_ASSIGN(proxy, net::proxy_of_environment(out.endpoint));
  if (proxy) net::connect_through(*proxy, &out.endpoint);
  return out;
}

Task<Result<net::Response>> ask(Context ctx, std::string url) {
  for (int i = 0; i <= kMaxRedirections; ++i) {
    auto place = place_of(url);
    if (!place.ok()) co_return place.status();
    auto client = net::HttpClient::create(ctx.loop(), place->endpoint);
    net::Request request("GET", place->path, place->query);
    request.headers.add("User-Agent", "kubectl/" + std::string(kGitVersion));
    auto answer = co_await client->send(ctx, std::move(request), kMaxBytes);
    client->close();
    if (!answer.ok()) co_return answer.status();
    auto where = answer->headers.get("Location");
    int code = answer->status;
    bool moved = code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
    if (!moved || !where) co_return answer;
    url = resolve(url, std::string(*where));
    if (!url.starts_with("http://") && !url.starts_with("https://")) {
      co_return Status::bad_request("unsupported protocol scheme");
    }
  }
  co_return Status::bad_request("stopped after 10 redirects");
}

}  // namespace

Result<std::string> read_url(const std::string& url) {
  auto loop = make_real_loop();
  Status last;
  for (int i = 0; i < kAttempts; ++i) {
    if (i > 0) (void)run_task(*loop, Context::root(*loop).sleep(1s));
    Context ctx = Context::root(*loop).with_timeout(kLimit);
    Result<net::Response> answer = run_task(*loop, ask(ctx, url));
    if (!answer.ok()) {
      last = failure("Get " + quoted(url) + ": " + answer.status().message());
      if (answer.status().is(Reason::kBadRequest)) break;
      continue;
    }
    if (answer->status == 200) return std::move(answer->body);
    last = failure("unable to read URL " + quoted(url) + ", server reported " +
                   std::to_string(answer->status) + " " + status_text(answer->status) +
                   ", status code=" + std::to_string(answer->status));
    if (answer->status < 500) break;
  }
  return last;
}

}  // namespace keles::kubectl
