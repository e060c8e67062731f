// What a store that seals its values (encryption at rest, transformer.h) can do beyond a Store. Who
// asks need not know whether it is one: of a store that seals nothing nothing is stale, and values
// are stored as they are.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/object.h"
#include "store/store.h"
#include "store/transformer.h"

namespace keles {

// A record's bytes as the disk has them, from those that the replica has. Empty: they are the same.
using Sealer = std::function<Result<Bytes>(const std::string& key, const Bytes& stored)>;

class Sealing {
 public:
  virtual ~Sealing() = default;
  virtual bool stale(std::string_view key) const = 0;
  virtual Sealer sealer() const = 0;
};

// Whether what the disk has of the key is sealed in another way than a write would seal it now: a
// write that changes nothing is then no idle one. Any thread.
bool is_stale(const Store& store, std::string_view key);
// How the records of contents() are stored: for a backup.
Sealer sealer_of(const Store& store);

// open_embedded_store() of values that are sealed; null: they are stored as they are.
Result<std::unique_ptr<Store>> open_sealed_store(const EmbeddedOptions& options,
                                                 std::shared_ptr<Transformer> transformer);

}  // namespace keles
