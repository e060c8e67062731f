#include "controllers/autoscaling/target.h"

#include <vector>

#include "api/autoscaling_v1.h"
#include "machinery/custom_kind.h"
#include "machinery/dotted_path.h"
#include "machinery/kind_facts.h"
#include "machinery/scale_selector.h"
#include "machinery/view.h"

namespace keles::controllers::hpa {
namespace {

constexpr int kAttempts = 5;
constexpr Duration kPause = 10ms;

std::string_view group_of(std::string_view api_version) {
  const size_t slash = api_version.find('/');
  return slash == api_version.npos ? std::string_view() : api_version.substr(0, slash);
}

// Of each version; the one that is named first.
std::vector<KindRef> kinds_of(Client* client, std::string_view api_version, std::string_view kind) {
  std::vector<KindRef> out;
  CatalogPtr catalog = client->kinds().current();
  for (const KindDesc* k : catalog->kinds()) {
    if (k->group != group_of(api_version) || k->kind != kind) continue;
    out.insert(k->api_version() == api_version ? out.begin() : out.end(), KindRef(k));
  }
  return out;
}

ScaleFacts facts_of(const KindDesc& kind) {
  const CustomKinds* custom = custom_kinds(kind);
  if (!custom) return kind.facts->scale;
  const auto& scale = custom->of(kind).scale;
  return {scale->replicas, scale->observed, scale->selector};
}

Document scale_object(const Scale& scale, int64_t replicas) {
  Draft<api::autoscaling_v1::ScaleEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name(scale.name);
  meta.set_namespace_(scale.ns);
  meta.set_uid(scale.uid);
  meta.set_resource_version(scale.resource_version);
  d->edit_spec().set_replicas(replicas);
  return d.take();
}

}  // namespace

std::string resource_of(Client* client, std::string_view api_version, std::string_view kind) {
  auto kinds = kinds_of(client, api_version, kind);
  return kinds.empty() ? std::string() : std::string(kinds.front()->group_resource());
}

Scale read_scale(const KindDesc& kind, const Object& object) {
  const ScaleFacts where = facts_of(kind);
  DocumentPtr tree = object.tree();
  Scale out;
  out.kind = KindRef(&kind);
  out.ns = object.namespace_();
  out.name = object.name();
  out.uid = object.uid();
  out.resource_version = std::to_string(object.revision());
  const Value& wanted = value_at(tree->root, where.replicas);
  // A built-in kind's default is one.
  out.wanted = wanted.is_null() && !kind.owner ? 1 : wanted.as_int();
  out.observed = value_at(tree->root, where.observed).as_int();
  out.selector = scale_selector(kind, tree->root, where.selector);
  return out;
}

Task<Result<Scale>> get_scale(Context ctx, Client* client, std::string api_version,
                              std::string kind, std::string ns, std::string name) {
  if (const size_t slash = api_version.find('/');
      slash != api_version.npos && api_version.find('/', slash + 1) != api_version.npos) {
    co_return Status::bad_request("unexpected GroupVersion string: " + api_version);
  }
  std::vector<KindRef> kinds = kinds_of(client, api_version, kind);
  if (kinds.empty()) {
    const std::string group(group_of(api_version));
    co_return Status(Reason::kNotFound,
                     "no matches for kind \"" + kind + "\" in group \"" + group + "\"");
  }
  Status first;
  for (const KindRef& k : kinds) {
    if (!k->subresource("scale")) {
      if (first.ok()) {
        first = Status(Reason::kNotFound, "the server could not find the requested resource");
      }
      continue;
    }
    auto got = co_await client->get(ctx, k.get(), ns, name);
    if (got.ok()) co_return read_scale(*k, **got);
    if (first.ok()) first = got.status();
  }
  co_return first;
}

Task<Status> set_scale(Context ctx, Client* client, Scale scale, int64_t replicas) {
  WriteOptions options;
  options.subresource = "scale";
  for (int attempt = 1;; ++attempt) {
    Document body = scale_object(scale, replicas);
    auto done = co_await client->update(ctx, scale.kind.get(), scale.ns, scale.name,
                                        std::move(body), options);
    if (!done.status().is(Reason::kConflict) || attempt == kAttempts) co_return done.status();
    Status slept = co_await ctx.sleep(kPause * attempt);
    if (!slept.ok()) co_return slept;
    auto now = co_await client->get(ctx, scale.kind.get(), scale.ns, scale.name);
    if (!now.ok()) co_return done.status();
    scale = read_scale(*scale.kind, **now);
  }
}

}  // namespace keles::controllers::hpa
