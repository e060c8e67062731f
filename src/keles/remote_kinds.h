// The kinds that extension API servers serve in this server's place, as far as their discovery
// tells: names, scope and verbs. Of their objects only the metadata is known.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/aggregation/documents.h"

namespace keles {

// Whether it is one of them.
bool is_remote(const KindDesc& kind);

// Those of one discovery document stay the same kinds while the document is the same. One thread.
class RemoteKinds {
 public:
  // Of the servers that are there now, of each resource the first version that has it.
  std::vector<KindRef> of(const aggregation::View& view);

 private:
  struct Known {
    DocumentPtr discovery;
    std::vector<KindRef> kinds;
  };
  std::map<std::string, Known> known_;  // by the APIService's name
};

// Those of one APIVersionDiscovery.
std::vector<KindRef> read_remote_kinds(std::string_view group, const Value& discovery);

}  // namespace keles
