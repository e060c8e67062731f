#include "keles/remote_catalog.h"

#include <set>
#include <utility>

#include "api/apiextensions_v1.h"
#include "api/apiregistration_v1.h"
#include "base/log.h"
#include "keles/remote_kinds.h"
#include "machinery/codec_json.h"

namespace keles {
namespace {

constexpr Duration kLookAgain = 30s;  // as upstream's garbage collector
constexpr Duration kSettle = 200ms;   // definitions come several at a time

// Of any version: "deployments.apps".
const std::set<std::string_view>& built_in() {
  static const std::set<std::string_view> names = [] {
    std::set<std::string_view> out;
    for (const KindDesc* k : all_kinds()) out.insert(k->group_resource());
    return out;
  }();
  return names;
}

}  // namespace

RemoteCatalog::RemoteCatalog(Client& client, PathsClient& paths)
    : paths_(paths), informers_(client) {
  wake_on(informers_.informer<api::apiextensions_v1::CustomResourceDefinition>().base());
  wake_on(informers_.informer<api::apiregistration_v1::APIService>().base());
}

void RemoteCatalog::wake_on(InformerBase& informer) {
  InformerBase::Handler h;
  h.added = [this](const ObjectPtr&) { changed_.set(); };
  h.updated = [this](const ObjectPtr&, const ObjectPtr&) { changed_.set(); };
  h.deleted = [this](const ObjectPtr&) { changed_.set(); };
  informer.add_handler(std::move(h));
}

Status RemoteCatalog::take(const std::string& discovery) {
  if (discovery == known_) return {};
  TRY_ASSIGN(doc, parse_json(discovery));
  std::map<std::string, Version> now;
  std::vector<KindRef> all;
  for (const Value& g : doc.root["items"].items()) {
    const std::string group(g["metadata"]["name"].as_string());
    std::set<std::string, std::less<>> seen;  // of each resource the preferred version
    for (const Value& v : g["versions"].items()) {
      const std::string name = group + "/" + std::string(v["version"].as_string());
      Version& one = now[name];
      one.text = to_json(v);
      auto before = versions_.find(name);
      const bool same = before != versions_.end() && before->second.text == one.text;
      one.kinds = same ? before->second.kinds : read_remote_kinds(group, v);
      for (const KindRef& k : one.kinds) {
        if (!seen.emplace(k->plural).second || built_in().contains(k->group_resource())) continue;
        all.push_back(k);
      }
    }
  }
  versions_ = std::move(now);
  known_ = discovery;
  kinds_.publish(std::move(all));
  return {};
}

Task<void> RemoteCatalog::run(Context ctx) {
  informers_.start(ctx);
  while (!ctx.done()) {
    changed_.reset();
    auto got = co_await paths_.ask(ctx, "GET", "/apis");
    Status taken = got.status();
    if (taken.ok() && got->status != 200) {
      taken = Status::unavailable("status code " + std::to_string(got->status));
    }
    if (taken.ok()) taken = take(got->body);
    if (!taken.ok() && !ctx.done()) log::warn("Discovery failed", {{"err", taken}});
    Context until = ctx.with_timeout(kLookAgain);
    (void)co_await changed_.wait(until);
    (void)co_await ctx.sleep(kSettle);
  }
  co_await informers_.join();
}

}  // namespace keles
