#include "keles/local_paths.h"

#include <utility>

#include "machinery/codec_json.h"
#include "server/aggregation/aggregator.h"

namespace keles {
namespace {

constexpr size_t kMaxAnswer = 64u << 20;

class LocalPaths final : public PathsClient {
 public:
  LocalPaths(ApiServer& server, Caller caller) : server_(server), caller_(std::move(caller)) {}

  Task<Result<net::Response>> ask(Context ctx, std::string method, std::string path,
                                  std::string query) override {
    const aggregation::Aggregator& aggregator = server_.aggregator();
    net::Response out;
    if (path == "/apis") {
      Value none = Value::map();
      out.status = 200;
      out.body = to_json(aggregation::merge_discovery(none, *aggregator.view()).root);
      co_return std::move(out);
    }
    auto gv = aggregation::group_version_of(path);
    aggregation::ApiServicePtr service;
    if (gv) service = aggregator.elsewhere(gv->first, gv->second);
    if (!service) {
      out.status = 404;
      co_return std::move(out);
    }
    if (!service->available) co_return Status::unavailable(service->name + " is not available");
    net::Request request(std::move(method), std::move(path), std::move(query));
    request.headers.set("Accept", "application/json");
    Caller who = caller_;
    co_return co_await aggregator.send(ctx, service, std::move(who), std::move(request),
                                       kMaxAnswer);
  }

 private:
  ApiServer& server_;
  Caller caller_;
};

}  // namespace

std::unique_ptr<PathsClient> make_local_paths(ApiServer& server, Caller caller) {
  return std::make_unique<LocalPaths>(server, std::move(caller));
}

Caller controller_account(const std::string& name) {
  Caller c;
  c.name = "system:serviceaccount:kube-system:" + name;
  c.groups = {"system:serviceaccounts", "system:serviceaccounts:kube-system",
              "system:authenticated"};
  return c;
}

}  // namespace keles
