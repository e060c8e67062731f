#include "machinery/unbound_kind.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "machinery/kind_facts.h"
#include "machinery/structural_schema.h"
#include "machinery/value.h"

namespace keles {
namespace {

using Name = std::pair<std::string, std::string>;

class Unbound final : public KindOwner {
 public:
  explicit Unbound(Name name);
  const KindDesc& kind() const { return kind_; }
  const TypeDesc& type_of(const KindDesc&) const override { return open_type(); }
  void bind(const KindDesc&, Document&) const override {}

 protected:
  ~Unbound() override;

 private:
  Name name_;
  KindFacts facts_;
  KindDesc kind_{};
};

// Those that there are. An entry may be of one that is just going: whoever looks for the name then
// puts his own in its place.
struct Table {
  std::mutex mutex;
  std::map<Name, Unbound*, std::less<>> kinds;
};
Table& table() {
  static Table* const t = new Table;  // objects of static life may outlive others
  return *t;
}

Unbound::Unbound(Name name) : name_(std::move(name)) {
  const std::string_view api = name_.first;
  const size_t slash = api.find('/');
  if (slash != api.npos) kind_.group = api.substr(0, slash);
  kind_.version = slash == api.npos ? api : api.substr(slash + 1);
  kind_.api_version_ = api;
  kind_.kind = name_.second;
  kind_.type = TypeRef(&open_type());
  kind_.owner = this;
  kind_.facts = &facts_;
}

Unbound::~Unbound() {
  std::lock_guard lock(table().mutex);
  auto at = table().kinds.find(name_);
  if (at != table().kinds.end() && at->second == this) table().kinds.erase(at);
}

}  // namespace

KindRef unbound_kind(std::string_view api_version, std::string_view kind) {
  Name name(api_version, kind);
  std::lock_guard lock(table().mutex);
  auto at = table().kinds.find(name);
  if (at != table().kinds.end() && at->second->retain_if_held()) {
    KindRef out(&at->second->kind());
    at->second->release();
    return out;
  }
  auto* made = new Unbound(name);
  table().kinds[std::move(name)] = made;
  return KindRef(&made->kind());
}

const TypeDesc& open_type() {
  static const auto* const only = new std::shared_ptr<const StructuralSchema>(
      *StructuralSchema::compile(Value::null(), "", true));
  return (*only)->type();
}

}  // namespace keles
