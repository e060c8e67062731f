// WriteOptions: the options of a request as the API has them, for who judges it.
#pragma once

#include <functional>

#include "machinery/value.h"
#include "server/admission/admission.h"
#include "server/registry/registry.h"

namespace keles::registry {

struct WriteOptions {
  // CreateOptions or UpdateOptions. `how` outlives it.
  WriteOptions(admission::Operation operation, const WriteRequest* how);
  // DeleteOptions. `request` outlives it.
  explicit WriteOptions(const DeleteRequest& request);
  WriteOptions(const WriteOptions&) = delete;

  std::function<Document()> make;  // made when somebody asks
};

}  // namespace keles::registry
