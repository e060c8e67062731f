// Extensions: serves what CustomResourceDefinitions define. It follows them in the store, publishes
// a catalog with each change, tells in their status what became of them, and empties those that are
// being deleted. All else about custom resources is the generic registry's.
//
// Several servers may do so on one store: what is published follows from what is stored, and a
// status is written against the revision that it was made from.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/context.h"
#include "base/sync.h"
#include "base/task.h"
#include "machinery/catalog.h"
#include "machinery/custom_kind.h"
#include "server/extensions/definition.h"
#include "server/registry/registry.h"

namespace keles::server {

// The converter of a definition whose versions differ by more than their names
// (spec.conversion.strategy Webhook).
using MakeConverter = std::function<std::shared_ptr<Converter>(const ObjectPtr& definition)>;

class Extensions {
 public:
  // Both outlive it. Publishes what the store has already.
  Extensions(registry::Registry* registry, CatalogSource* kinds, MakeConverter make_converter);
  ~Extensions();

  // Until ctx ends. Once, on any loop; nothing else is called meanwhile.
  Task<void> run(Context ctx);

 private:
  struct Known {
    Definition definition;
    KindRef kinds;      // none: not served
    bool seen = false;  // in the pass that is under way
    bool closing = false;
    bool settled = false;      // nothing about its status is to be done
    std::string structure_of;  // Definition::made_of whose schemas have been told of
  };
  // Brings what is known level with the store; publishes when that changes what is served.
  void follow();
  bool serve(Known& known);
  NamesInUse names_in_use(const std::string& group) const;

  Task<bool> settle(Context ctx);  // statuses
  Task<void> write_status(Context ctx, std::string name, Document body, Semaphore* slots,
                          bool* all);
  Task<void> clean(Context ctx, std::string name);
  Task<Status> clean_once(Context ctx, std::string name);
  Task<Status> delete_objects(Context ctx, KindRef kind, std::string* reason);
  Task<Status> wait_empty(Context ctx, KindRef kind);

  registry::Registry* registry_;
  CatalogSource* kinds_;
  MakeConverter make_converter_;
  std::map<std::string, Known> known_;  // by name
  std::set<std::string> cleaning_;
  TaskGroup* tasks_ = nullptr;  // of run()
};

}  // namespace keles::server
