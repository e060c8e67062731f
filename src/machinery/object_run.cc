#include "machinery/object_run.h"

#include "machinery/codec_protobuf.h"
#include "machinery/list_item.h"

namespace keles {

template <class Append>
Bytes ObjectRun::text_of(Form& form, Append append) const {
  {
    std::lock_guard lock(mutex_);
    if (auto made = form.text.lock()) return made;
  }
  constexpr size_t kOverhead = 128;  // control blocks, the budget's entry
  auto made = std::make_shared<std::string>();
  for (const ObjectPtr& o : objects_) append(*made, *o);
  made->shrink_to_fit();
  Budget::Charge held =
      process_budget().hold(Budget::Side::kForms, made, made->capacity() + kOverhead);
  std::lock_guard lock(mutex_);
  if (auto there = form.text.lock()) return there;
  form.text = made;
  std::swap(form.held, held);  // the old one goes after the lock does
  return made;
}

Bytes ObjectRun::json() const {
  return text_of(json_, [](std::string& out, const Object& o) {
    if (!out.empty()) out.push_back(',');
    append_list_item(out, o);
  });
}

Bytes ObjectRun::protobuf() const {
  return text_of(protobuf_, [](std::string& out, const Object& o) {
    Bytes whole = o.protobuf();
    auto envelope = open_protobuf(*whole);
    append_bytes_field(out, 2, envelope.ok() ? envelope->raw : std::string_view());
  });
}

}  // namespace keles
