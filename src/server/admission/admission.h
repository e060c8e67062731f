// Admission: the built-in plugins that change or refuse writes, in upstream's order. They keep no
// state: what they need of the cluster they read from the request's snapshot. A plugin is one .cc
// file with one function of each kind that it needs, listed in admission.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/object.h"
#include "store/store.h"

namespace keles::admission {

enum class Operation : uint8_t { kCreate, kUpdate, kDelete };

struct Attributes {
  Operation operation = Operation::kCreate;
  const KindDesc* kind = nullptr;  // the stored version
  std::string_view namespace_, name, subresource;
  std::string_view user;
  const std::vector<std::string>* groups = nullptr;
  const StoreSnapshot* state = nullptr;
  WallTime now;
  Random* random = nullptr;
  bool dry_run = false;

  bool is(std::string_view group, std::string_view kind_name) const {
    return kind->group == group && kind->kind == kind_name;
  }
};

// Mutating plugins, then (after the strategy's validation) validating ones. `before` is null on
// create; `object` is null in validate() on delete.
Status admit(const Attributes& a, Document& object, const Value* before);
Status validate(const Attributes& a, const Value* object, const Value* before);

}  // namespace keles::admission
