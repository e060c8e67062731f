#include <utility>

#include "keles/audited_client.h"
#include "keles/audited_component.h"
#include "server/http/request_info.h"

namespace keles {
namespace {

class AuditedPaths final : public PathsClient {
 public:
  AuditedPaths(std::unique_ptr<PathsClient> inner, const audit::Auditor* auditor, Caller caller)
      : inner_(std::move(inner)), as_(auditor, std::move(caller)) {}

  Task<Result<net::Response>> ask(Context ctx, std::string method, std::string path,
                                  std::string query) override {
    const server::RequestInfo request =
        server::parse_request_info(method, path, server::Query::parse(query));
    const std::unique_ptr<audit::Event> event =
        as_.begin(ctx.loop(), request, query.empty() ? path : path + "?" + query);
    TRY_CO(as_.came(ctx, event.get()));
    auto done = co_await inner_->ask(ctx, std::move(method), std::move(path), std::move(query));
    if (event && done.ok()) event->code = done->status;
    co_await as_.ended(ctx, event.get(), done.status());
    co_return done;
  }

 private:
  std::unique_ptr<PathsClient> inner_;
  AuditedComponent as_;
};

}  // namespace

std::unique_ptr<PathsClient> make_audited_paths(std::unique_ptr<PathsClient> inner,
                                                const audit::Auditor* auditor, Caller caller) {
  return std::make_unique<AuditedPaths>(std::move(inner), auditor, std::move(caller));
}

}  // namespace keles
