#include <utility>

#include "keles/audited_client.h"
#include "server/http/request_info.h"

namespace keles {
namespace {

using audit::Stage;

constexpr Duration kRecordWithin = 10s;

class AuditedPaths final : public PathsClient {
 public:
  AuditedPaths(std::unique_ptr<PathsClient> inner, const audit::Auditor* auditor, Caller caller)
      : inner_(std::move(inner)),
        auditor_(auditor),
        who_(std::make_shared<const Caller>(std::move(caller))) {}

  Task<Result<net::Response>> ask(Context ctx, std::string method, std::string path,
                                  std::string query) override {
    std::unique_ptr<audit::Event> event = begin(ctx, method, path, query);
    if (event) {
      bool fine = co_await auditor_->record(ctx, event.get(), Stage::kRequestReceived);
      if (!fine) co_return Status::internal("failed to store audit event");
    }
    auto done = co_await inner_->ask(ctx, std::move(method), std::move(path), std::move(query));
    if (!event) co_return done;
    event->code = done.ok() ? done->status : done.status().code();
    if (!done.ok()) event->status = audit::status_members(done.status());
    Context own = Context::root(ctx.loop());  // the caller's may have ended
    (void)co_await auditor_->record(own.with_timeout(kRecordWithin), event.get(),
                                    Stage::kResponseComplete);
    co_return done;
  }

 private:
  std::unique_ptr<audit::Event> begin(const Context& ctx, const std::string& method,
                                      const std::string& path, const std::string& query) const {
    const server::RequestInfo i =
        server::parse_request_info(method, path, server::Query::parse(query));
    audit::Question q;
    q.user = who_->name;
    q.groups = &who_->groups;
    q.verb = i.verb;
    q.is_resource = i.is_resource;
    q.group = i.group;
    q.resource = i.resource;
    q.subresource = i.subresource;
    q.ns = i.ns;
    q.name = i.name;
    q.path = i.path;
    std::unique_ptr<audit::Event> event = auditor_->begin(q);
    if (!event) return event;
    event->id = ctx.loop().random().uuid();
    event->uri = query.empty() ? path : path + "?" + query;
    event->verb = i.verb;
    event->user = who_;
    event->user_agent = who_->name.substr(who_->name.rfind(':') + 1) + " (in-process)";
    event->received = ctx.loop().wall_now();
    event->annotations.emplace_back("authorization.k8s.io/decision", "allow");
    event->annotations.emplace_back("authorization.k8s.io/reason", "");
    if (!i.is_resource) return event;
    event->has_object = true;
    event->object.resource = i.resource;
    event->object.ns = i.ns;
    event->object.name = i.name;
    event->object.group = i.group;
    event->object.version = i.version;
    event->object.subresource = i.subresource;
    return event;
  }

  std::unique_ptr<PathsClient> inner_;
  const audit::Auditor* auditor_;
  CallerPtr who_;
};

}  // namespace

std::unique_ptr<PathsClient> make_audited_paths(std::unique_ptr<PathsClient> inner,
                                                const audit::Auditor* auditor, Caller caller) {
  return std::make_unique<AuditedPaths>(std::move(inner), auditor, std::move(caller));
}

}  // namespace keles
