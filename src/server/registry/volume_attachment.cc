// VolumeAttachments.
#include "api/storage_v1.h"
#include "server/objects/meta.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/volume_parts.h"
#include "server/registry/volume_sources.h"

namespace keles::registry {
namespace {

using api::storage_v1::VolumeAttachment;
using api::storage_v1::VolumeAttachmentSource;
using api::storage_v1::VolumeError;

const FieldPath kSpec("spec");
const FieldPath kStatus("status");

void validate_source(FieldErrors& e, const VolumeAttachmentSource& source) {
  constexpr const char* kOne =
      "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  const FieldPath p = kSpec["source"];
  const bool named = source.has_persistent_volume_name();
  if (named && source.has_inline_volume_spec()) {
    field::forbidden(e, p, kOne);
  } else if (named) {
    if (source.persistent_volume_name().empty()) {
      field::required(e, p["persistentVolumeName"], "must specify non empty persistentVolumeName");
    }
  } else if (source.has_inline_volume_spec()) {
    validate_volume_spec(e, p["inlineVolumeSpec"], source.inline_volume_spec(),
                         VolumeSpecCheck{.name = "", .inline_ = true});
  } else {
    field::required(e, p, kOne);
  }
}

void validate_error(FieldErrors& e, const FieldPath& p, const VolumeError& error) {
  constexpr size_t kLongest = 1024, kSaid = 256 * 1024;
  if (!error) return;
  if (error.message().size() > kLongest) field::too_long(e, p["message"], kSaid);
  if (error.has_error_code() && error.error_code() < 0) {
    field::invalid(e, p["errorCode"], error.error_code(),
                   "must be between 0 and 2147483647, inclusive");
  }
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  constexpr size_t kMostMetadata = 256 * 1024;
  const VolumeAttachment attachment(now);
  const auto spec = attachment.spec();
  validate_driver_name(e, kSpec["attacher"], spec.attacher());
  validate_source(e, spec.source());
  field::invalid_each(e, kSpec["nodeName"], spec.node_name(),
                      check_dns1123_subdomain(spec.node_name()));
  const auto status = attachment.status();
  size_t size = 0;
  for (auto [key, value] : status.attachment_metadata()) size += key.size() + value.size();
  if (size > kMostMetadata) field::too_long(e, kStatus["attachmentMetadata"], kMostMetadata);
  validate_error(e, kStatus["attachError"], status.attach_error());
  validate_error(e, kStatus["detachError"], status.detach_error());
  if (spec.source().has_persistent_volume_name()) {
    const std::string_view name = spec.source().persistent_volume_name();
    field::invalid_each(e, FieldPath("spec.source.persistentVolumeName"), name,
                        check_dns1123_subdomain(name));
  }
}

void validate_update(const HookContext& ctx, const Value& now, const Value& before,
                     FieldErrors& e) {
  validate(ctx, now, e);
  if (!now["spec"].equals(before["spec"])) {
    invalid_as(e, kSpec, struct_text(VolumeAttachment(now).spec()), "field is immutable");
  }
}

}  // namespace

extern const Strategy kVolumeAttachmentStrategy{.prepare_for_status_update = take_only_status,
                                                .validate = validate,
                                                .validate_update = validate_update,
                                                .validate_status_update = validate_update,
                                                .validates_update_whole = true,
                                                .described = false,
                                                .metadata_again = MetadataAgain::kWhole,
                                                .status_metadata_again = MetadataAgain::kWhole};

}  // namespace keles::registry
