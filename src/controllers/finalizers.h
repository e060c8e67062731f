// A finalizer that keeps what is in use: given to each object that lives, taken when it is being
// deleted and nobody needs it any more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/meta_v1.h"
#include "client/client.h"

namespace keles::controllers {

enum class Protection : uint8_t { kNothing, kAdd, kRemove };
// `in_use` counts only for what is being deleted.
Protection plan_protection(const api::meta_v1::ObjectMeta& object, std::string_view finalizer,
                           bool in_use);

// Writes what was planned over the object as it was read. That it has gone is no error.
template <class T, class Edit>
Task<Status> protect(Context ctx, Client* client, Ref<T> object, Protection what,
                     std::string finalizer) {
  if (what == Protection::kNothing) co_return Status();
  Draft<Edit> next(*object);
  auto list = next->edit_metadata().edit_finalizers();
  if (what == Protection::kAdd) {
    list.add(finalizer);
  } else {
    for (size_t i = list.size(); i-- > 0;) {
      if (list[i] == finalizer) list.erase_at(i);
    }
  }
  Document body = next.take();
  auto r = co_await client->update<T>(ctx, std::move(body));
  const bool gone = r.status().is(Reason::kNotFound);
  co_return gone ? Status() : r.status();
}

}  // namespace keles::controllers
