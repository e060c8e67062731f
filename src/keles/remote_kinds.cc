#include "keles/remote_kinds.h"

#include <deque>
#include <functional>
#include <set>
#include <utility>

#include "machinery/kind_facts.h"
#include "machinery/unbound_kind.h"

namespace keles {
namespace {

// All of one document; held by each.
class Owner final : public KindOwner {
 public:
  const TypeDesc& type_of(const KindDesc&) const override { return open_type(); }
  void bind(const KindDesc&, Document&) const override {}

  const KindDesc& add(std::string_view group, std::string_view version, const Value& resource) {
    KindDesc& k = kinds_.emplace_back();
    k.group = names_.copy(group);
    k.version = names_.copy(version);
    k.kind = names_.copy(resource["responseKind"]["kind"].as_string());
    k.list_kind = names_.copy(std::string(k.kind) + "List");
    k.plural = names_.copy(resource["resource"].as_string());
    k.singular = names_.copy(resource["singularResource"].as_string());
    k.namespaced = resource["scope"].as_string() == "Namespaced";
    std::vector<std::string_view>& verbs = verbs_.emplace_back();
    for (const Value& v : resource["verbs"].items()) verbs.push_back(names_.copy(v.as_string()));
    k.verbs = verbs;
    k.api_version_ = names_.copy(std::string(group) + '/' + std::string(version));
    k.group_resource_ = names_.copy(std::string(k.plural) + '.' + std::string(group));
    k.type = TypeRef(&open_type());
    k.facts = &facts_;
    k.owner = this;
    return k;
  }

 protected:
  ~Owner() override = default;

 private:
  Arena names_;
  KindFacts facts_;
  std::deque<KindDesc> kinds_;
  std::deque<std::vector<std::string_view>> verbs_;
};

}  // namespace

bool is_remote(const KindDesc& kind) {
  return kind.owner && dynamic_cast<const Owner*>(kind.owner) != nullptr;
}

std::vector<KindRef> read_remote_kinds(std::string_view group, const Value& discovery) {
  std::vector<KindRef> out;
  auto* owner = new Owner;
  owner->retain();  // until its kinds hold it
  for (const Value& r : discovery["resources"].items()) {
    if (r["resource"].as_string().empty() || r["responseKind"]["kind"].as_string().empty()) {
      continue;
    }
    out.emplace_back(&owner->add(group, discovery["version"].as_string(), r));
  }
  owner->release();
  return out;
}

std::vector<KindRef> RemoteKinds::of(const aggregation::View& view) {
  std::map<std::string, Known> now;
  std::vector<KindRef> out;
  std::set<std::string, std::less<>> seen;
  for (const aggregation::Remote& r : view.remotes) {
    if (!r.service->available || !r.documents->discovery) continue;
    Known& known = now[r.service->name];
    auto before = known_.find(r.service->name);
    if (before != known_.end() && before->second.discovery == r.documents->discovery) {
      known = before->second;
    } else {
      known.discovery = r.documents->discovery;
      known.kinds = read_remote_kinds(r.service->group, known.discovery->root);
    }
    for (const KindRef& k : known.kinds) {
      if (seen.emplace(k->group_resource()).second) out.push_back(k);
    }
  }
  known_ = std::move(now);
  return out;
}

}  // namespace keles
