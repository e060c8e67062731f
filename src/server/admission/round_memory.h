// What the first round of mutating admission tells the second.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "server/admission/admission.h"

namespace keles::admission {

struct RoundMemory {
  std::set<std::string> asked;       // that want to be asked again, once something changes
  std::set<std::string> again;       // that are to be asked again
  std::shared_ptr<Document> output;  // as the plugin left it; null: nobody wants to know

  void changed() {
    again.merge(asked);
    asked.clear();
  }

  // That of `plugin`. In the second round, whatever others have changed meanwhile is a reason to
  // ask again. `object` is null on delete.
  static std::shared_ptr<RoundMemory> of(const Dynamic* plugin, const Attributes& a,
                                         const Document* object) {
    std::shared_ptr<void>& kept = a.reinvocation->kept[plugin];
    if (!kept) kept = std::make_shared<RoundMemory>();
    auto memory = std::static_pointer_cast<RoundMemory>(kept);
    if (a.reinvocation->second && object && memory->output &&
        !memory->output->root.equals(object->root)) {
      memory->changed();
    }
    return memory;
  }
};

}  // namespace keles::admission
