#include "store/etcd/etcd_store.h"

#include <utility>

#include "base/budget.h"
#include "store/replica.h"
#include "store/sealed_backend.h"

namespace keles {

Result<std::unique_ptr<Store>> open_etcd_store(const EtcdOptions& options, ReplicaWindow window,
                                               std::shared_ptr<Transformer> transformer) {
  TRY_ASSIGN(backend, open_etcd_backend(options));
  if (transformer)
    backend = std::make_unique<SealedBackend>(std::move(backend), std::move(transformer));
  ReplicaOptions o;
  o.window.events = window.events;
  o.window.bytes = window.bytes;
  o.window.budget = &process_budget();
  return std::unique_ptr<Store>(std::make_unique<Replica>(std::move(o), std::move(backend)));
}

}  // namespace keles
