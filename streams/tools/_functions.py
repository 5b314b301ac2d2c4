"""The functions of PostgreSQL that a query may call: each computes from its arguments and reads no more than them.

Not here, so refused: functions that read or write files, large objects or settings, that sleep, lock, signal or notify,
that run a text as a statement (`query_to_xml`, `ts_stat`, `dblink`), that reveal the server or other sessions, and
every function that somebody has defined. A view can call those, because whoever may create it decides what it does.
"""

from __future__ import annotations

from typing import Final

_NUMBERS: Final = """
    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees
    div erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi power radians random round scale
    sign sin sind sinh sqrt tan tand tanh to_number trim_scale trunc width_bucket random_normal
"""
_TEXTS: Final = """
    ascii bit_count bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from
    convert_to crc32 crc32c decode encode format get_bit get_byte initcap is_normalized left length like_escape lower
    lpad ltrim md5 normalize octet_length overlay parse_ident position quote_ident quote_literal quote_nullable
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim set_bit set_byte sha224 sha256 sha384
    sha512 similar_escape similar_to_escape split_part starts_with string_to_array string_to_table strpos substr
    substring to_ascii to_bin to_char to_hex to_oct translate unicode_assigned unistr upper
"""
_TIMES: Final = """
    age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days justify_hours
    justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps
    statement_timestamp timeofday timezone to_date to_timestamp transaction_timestamp
"""
_TYPES: Final = """
    bool bpchar bytea char date daterange datemultirange float4 float8 int2 int4 int4multirange int4range int8
    int8multirange int8range interval multirange name nummultirange numrange numeric text time timestamp timestamptz
    timetz tsmultirange tsrange tstzmultirange tstzrange uuid varchar bit varbit
"""
_STRUCTURES: Final = """
    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_json
    array_to_string array_to_tsvector array_upper cardinality enum_first enum_last enum_range generate_series
    generate_subscripts isempty json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object json_object_keys
    json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_concat
    jsonb_delete jsonb_delete_path jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any
    jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
    jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array
    jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz
    jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls
    jsonb_to_record jsonb_to_recordset jsonb_typeof lower_inc lower_inf num_nonnulls num_nulls range_merge row_to_json
    to_json to_jsonb trim_array unnest upper_inc upper_inf
"""
_SEARCH: Final = """
    numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector ts_delete ts_filter
    ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array websearch_to_tsquery
"""
_PLACES: Final = """
    abbrev area box broadcast center circle diagonal diameter family height host hostmask inet_merge inet_same_family
    isclosed isopen line lseg macaddr8_set7bit masklen netmask network npoints path pclose point polygon popen radius
    set_masklen slope width
"""
_AGGREGATES: Final = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg
    json_object_agg jsonb_agg jsonb_object_agg max min range_agg range_intersect_agg regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop
    var_samp variance mode percentile_cont percentile_disc grouping json_agg_strict jsonb_agg_strict
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_OTHERS: Final = """
    col_description current_database current_schema format_type gen_random_uuid obj_description pg_collation_for
    pg_column_size pg_size_bytes pg_size_pretty pg_typeof to_regclass to_regtype uuid_extract_timestamp
    uuid_extract_version uuidv4 uuidv7 xmlcomment xmlconcat xmlexists xml_is_well_formed
"""

ALLOWED: Final = frozenset(
    f"{_NUMBERS} {_TEXTS} {_TIMES} {_TYPES} {_STRUCTURES} {_SEARCH} {_PLACES} {_AGGREGATES} {_OTHERS}".split()
)
"""Names in lower case, as the catalog has them."""
