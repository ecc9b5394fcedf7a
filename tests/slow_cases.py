"""Which cases of quick tests are slow: by file and test those that stay quick, none where all are slow.

They take seconds each, most of them to compile kernels that no other test needs or to start processes; what they show,
quicker cases of the same tests show for other kinds or others for most of it, and `-m slow` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable


def _but(*slow: str) -> Callable[[str], bool]:
    """Whether a case, by its name in brackets, stays quick: none of these ends its name."""
    return lambda case: not case.endswith(slow)


def _only(*quick: str) -> Callable[[str], bool]:
    return lambda case: case in quick


QUICK: dict[str, dict[str, Callable[[str], bool]]] = {
    "test_answers.py": {
        "test_counts_of_other_types_count": _only(),
    },
    "test_architectures_parity_torch.py": {
        "test_the_spiking_output_tends_to_the_analog_one": _but("wnet", "unet"),
    },
    "test_at_rest.py": {
        "test_a_bias_of_minus_nothing_is_a_current": _only(),
        "test_where_much_arrives_nobody_is_looked_for_and_all_may_be_awake": _only(),
        "test_same_as_the_specification": _only(),
    },
    "test_batch_norm.py": {
        "test_training_lowers_the_loss_and_moves_the_statistics": _only(),
    },
    "test_bound_program.py": {"test_same_as_the_reference": _only()},
    "test_codecs.py": {
        "test_what_needs_imagecodecs_is_refused_by_its_name_and_all_else_is_read": _only(),
    },
    "test_command_line.py": {
        "test_convert_to_burst_neurons": _only(),
        "test_a_reader_that_goes_away_is_no_error": _only(),
        "test_tables_and_progress_on_a_terminal": _only(),
        "test_shipped_models_load_and_are_listed": _only(),
        "test_a_full_disk_behind_stdout": _only(),
        "test_a_signal_leaves_nothing_behind": _only(),
    },
    "test_copies.py": {
        "test_other_processes_get_networks": _only(),
        "test_denoised_pictures": _but("pickle"),
    },
    "test_documentation.py": {
        "test_a_block_that_fails_is_found": _only(),
    },
    "test_documented_conversions.py": {"test_a_block_runs_as_it_stands": _but("model-npz-1")},
    "test_encoders.py": {
        "test_pictures_of_a_batch": _but("encoder5"),
    },
    "test_evaluation.py": {"test_the_shipped_denoiser_on_a_real_picture": _only()},
    "test_evaluation_safety.py": {
        "test_warnings_of_workers_are_given_where_they_were_started": _only(),
        "test_workers_that_cannot_start_are_one_error": _only(),
        "test_a_picture_that_kills_its_workers_is_given_up_and_the_others_are_not": _only(),
    },
    "test_event_driven.py": {
        "test_what_begins_above_the_threshold_fires_without_an_event": _but("model1"),
        "test_what_is_left_above_the_threshold_fires_without_an_event": _but("model1"),
        "test_nothing_changes_but_the_count_of_updates": _but("model1"),
        "test_tiles_leave_out_the_same": _only(),
    },
    "test_exactness.py": {"test_a_model_that_rests_elsewhere_passes_all_checks": _only()},
    "test_finetune_classification.py": {
        "test_training_learns_to_tell_classes": _but("flow"),
    },
    "test_finetune_forward.py": {
        "test_accumulated_outputs_are_the_sums_of_the_spikes": _only(),
        "test_spikes_through_time_are_the_engine_s": _only(),
        "test_layers_are_charged_where_their_input_is_positive": _only(),
        "test_one_thread_and_several_give_the_same_numbers": _only(),
    },
    "test_finetune_processes.py": {
        "test_gradients_are_as_fine_as_parameters_wherever_they_come_from": _only(),
        "test_a_copy_of_a_trainer_has_processes_of_its_own": _only(),
        "test_memory_is_given_back_with_the_processes": _only(),
        "test_a_forked_copy_leaves_the_processes_alone": _only(),
    },
    "test_finetune_residual.py": {
        "test_the_loss_of_a_residual_network_falls": _but("bptt-2-options2-after2", "flow-2-options1-after1"),
        "test_both_methods_put_out_what_the_engine_does": _only(),
        "test_threshold_scales_equal_finite_differences": _but("-layer"),
    },
    "test_finetune_segmentation.py": {
        "test_training_learns_to_tell_classes_and_ignores_void": _only(),
    },
    "test_finetune_shares.py": {
        "test_a_process_that_is_killed_ends_the_run_and_leaves_none_behind": _only(),
        "test_processes_and_threads_find_the_same_numbers": _only(),
        "test_other_neurons_rounded_weights_and_another_loss_in_processes": _only(),
        "test_one_share_is_the_whole_batch_and_shares_become_as_many_as_processes": _only(),
        "test_batches_of_any_size": _only(),
        "test_a_checkpoint_goes_on_with_another_number_of_processes": _only(),
        "test_what_goes_wrong_in_a_process_is_raised_here_and_none_is_left": _only(),
        "test_an_error_that_nobody_expected_says_where_it_was": _only(),
        "test_training_that_diverges_is_one_error": _only("None"),
        "test_processes_that_cannot_start_are_one_error": _only(),
        "test_a_trainer_that_is_forgotten_takes_its_processes_along": _only(),
        "test_a_script_that_is_not_guarded_is_told_so": _only(),
        "test_the_command_gives_the_same_model_by_any_number_of_processes": _only(),
        "test_a_signal_ends_the_processes_too": _only(),
    },
    "test_finetune_teacher.py": {
        "test_a_rounded_network_comes_closer_to_what_it_was": _only(),
    },
    "test_finetune_training.py": {
        "test_the_penalty_lowers_accumulates": _only(),
        "test_a_checkpoint_resumes_exactly": _but("sgd-flow", "adam-bptt"),
        "test_the_loss_falls": _only("sgd-bptt"),
    },
    "test_finetune_weight_bits.py": {
        "test_the_loss_falls": _but("flow"),
    },
    "test_fork.py": {
        "test_locks_that_another_thread_holds": _but("property"),
    },
    "test_foveal.py": {
        "test_ranks_are_those_of_a_pursuit_with_whole_kernels": _but("encoder0"),
    },
    "test_frame_streams.py": {
        "test_a_clip_is_denoised_by_increments_as_frame_by_frame": _only(),
        "test_a_clip_is_segmented_by_increments_as_frame_by_frame": _only(),
    },
    "test_full_disk.py": {
        "test_the_kernel_refuses_more_bytes": _only(),
    },
    "test_fuzz.py": {
        "test_sample": _but("kill", "nir", "weights", "learnt", "state-dict", "calibration", "checkpoint", "finetune")
    },
    "test_heterogeneous_neurons.py": {
        "test_a_restless_model_says_so_and_is_told_how": _only(),
        "test_stochastic_neurons_reproduce": _but("model1"),
        "test_a_file_keeps_every_parameter": _only(),
        "test_the_checks_take_what_the_engine_gives": _only(),
        "test_neurons_that_differ": _but("model1"),
        "test_whole_numbers_and_truth_values_differ_too": _only(),
        "test_stochastic_neurons_reproduce_for_any_schedule": _only(),
    },
    "test_imports.py": {
        "test_nothing_imports_the_folders_by_their_own_names": _only(),
        "test_engine_is_not_imported_by_its_installed_name_from_inside": _only(),
        "test_engine_does_not_import_converters_except_in_the_command_line": _only(),
        "test_importing_a_folder_by_its_own_name_is_refused": _but("spikeunet.engine.package-spikeunet"),
        "test_a_compilation_upon_import_would_be_seen": _only(),
        "test_no_module_is_loaded_twice": _only(),
    },
    "test_increments.py": {
        "test_random_weights_sizes_and_changes": _only(),
        "test_what_is_done_follows_the_change": _only(),
    },
    "test_integer_kernels.py": {
        "test_tiles": _but("-portable"),
        "test_same_as_the_event_driven_kernels": _but("event-integers-3", "portable-1", "portable-3"),
        "test_odd_geometries_in_memory_that_was_used_before": lambda case: "portable" not in case,
    },
    "test_interruptions.py": {
        "test_every_worker_starts_with_ctrl_c_held_back": _only(),
    },
    "test_invariants.py": {
        "test_a_run_leaves_no_trace": _only(),
        "test_a_shorter_run_is_the_beginning_of_a_longer_one": _only(),
    },
    "test_joins.py": {"test_same_as_the_reference": _but("2-auto", "2-events")},
    "test_kernel_files.py": {
        "test_a_disk_that_becomes_full_costs_only_the_cache": _only(),
    },
    "test_kernel_paths.py": {
        "test_joined_phases_of_transposed_convolutions": lambda case: not case.startswith("24-"),
        "test_windows_and_vectors": _only(),
    },
    "test_layers.py": {
        "test_delays_carry_events_to_the_next_step": _but(
            "Attention-0", "Attention-1", "PixelShuffle-0", "PixelShuffle-1"
        ),
    },
    "test_learning_dsr_convolutions.py": {
        "test_the_engine_simulates_exactly_the_spikes_that_training_counted": _but("'stride'}", "'average'}"),
    },
    "test_limits.py": {"test_large_strides_are_simulated_like_the_reference": _but("auto")},
    "test_loops.py": {"test_only_the_loop_goes_step_by_step": _only()},
    "test_memory.py": {
        "test_large_arrays_are_not_in_the_heaps_that_the_c_library_has_for_threads": _only(),
    },
    "test_neuron_models.py": {
        "test_all_checks_hold": _but("Lapicque0", "Lapicque1", "EscapeNoiseLeakyIntegrateAndFire")
    },
    "test_neurons.py": {
        "test_a_grid_of_currents": _only(),
    },
    "test_nir.py": {"test_round_trips_keep_every_spike": _but("flat")},
    "test_onnx_classifiers.py": {"test_channels_that_come_last_are_exported_as_others": _only()},
    "test_onnx_parity_torch.py": {"test_the_spiking_network_tends_to_the_analog_one": _only()},
    "test_output_options.py": {
        "test_json_is_all_that_is_printed": _but("resample"),
    },
    "test_own_layers.py": {
        "test_fine_tuning": _but("flow"),
        "test_the_kit_passes_what_is_right": _but("locally connected"),
    },
    "test_own_neurons.py": {
        "test_the_documentation": _only(),
        "test_saving_and_loading_changes_nothing": _but("model2"),
        "test_broken_surrogates_are_found": _only(),
        "test_compiled_equals_python_bit_for_bit": _but("Resonator", "AdaptiveThreshold"),
        "test_each_model_alone": _but("AdaptiveThreshold", "Signed"),
        "test_a_large_layer_in_bands": _only(),
    },
    "test_own_neurons_finetune.py": {
        "test_backward_through_time_by_the_definition": lambda case: case.startswith(
            ("model0-", "model1-", "model2-", "model3-")
        ),
        "test_both_forward_runs_are_the_engines": _but("model4"),
    },
    "test_pipes.py": {
        "test_a_full_disk_behind_stdout_is_not_the_fault_of_the_picture_that_was_read": _only(),
        "test_a_reader_that_went_away": _only(),
    },
    "test_plug_ins.py": {"test_the_command_line_finds_an_installed_neuron": _only()},
    "test_quantization.py": {
        "test_a_larger_network_equals_the_reference_bit_for_bit": _only(),
        "test_simulation_equals_the_reference_bit_for_bit": _only(),
    },
    "test_quantization_of_sums.py": {
        "test_exact_sums": _only(),
        "test_kernels_agree_on_networks_of_all_kinds": _only("0", "1", "2"),
        "test_sums_that_float32_rounds": _only(),
    },
    "test_random_graphs.py": {"test_a_random_network": _but("3", "4")},
    "test_samples.py": {
        "test_currents_of_some_steps_at_a_time_are_those_of_all": _only(),
        "test_what_comes_back_is_multiplied_where_many_fire_and_walked_where_few_do": _only(),
        "test_sums_of_the_largest_weights_are_exact": _only("more than lanes of 16 bits add up-from event to event"),
        "test_a_batch_side_by_side_is_what_its_pictures_are": _only("feed_forward-False"),
        "test_threads_and_chunks_change_nothing": _only("2"),
    },
    "test_scales.py": {
        "test_threshold_iteration_is_the_best_scale_for_normal_currents": _but("model1"),
        "test_least_squares_is_the_best_of_all_scales": _but("model3-4"),
    },
    "test_shared_state.py": {"test_many_threads_of_a_program": _only()},
    "test_signed_neurons.py": {
        "test_a_step_may_take_tuples_of_any_length": _only(),
        "test_each_model_alone": _but("model2"),
    },
    "test_simulation.py": {
        "test_each_kind_of_synapse": _only(
            "conv2d", "conv_transpose2d", "avg_pool2d", "max_pool2d", "scale", "upsample"
        ),
        "test_large_picture": _only(),
    },
    "test_size_of_parts.py": {
        "test_functions_are_short": _only(),
    },
    "test_softlif.py": {"test_a_run_learns_resumes_and_saves_what_spikes": _only()},
    "test_streams.py": {
        "test_an_encoding_without_the_character": _only(),
        "test_a_closed_stream_is_no_error": _only(),
        "test_a_result_cannot_go_to_a_closed_stdout": _only(),
    },
    "test_testing_kit.py": {
        "test_neuron_models_of_the_package": _only(),
        "test_without_hypothesis_the_error_says_what_to_install": _only(),
    },
    "test_threads.py": {
        "test_a_quota_of_the_system_bounds_the_number_of_processors": _only(),
    },
    "test_tiling.py": {
        "test_unet_whose_sums_round": _but("1-2"),
        "test_picture_sizes": _but("size2"),
        "test_each_kind_of_synapse": _only("conv2d", "conv_transpose2d", "max_pool2d"),
    },
    "test_tuning.py": {
        "test_accumulates_bound_the_search": _only(),
        "test_the_command_says_what_was_tried_and_takes_the_best": _only(),
    },
    "test_weight_pickles_hostile.py": {"test_pickles_that_want_memory_or_time_get_little": _but("marks")},
}


def is_slow(file: str, test: str, case: str) -> bool:
    """Whether a case of a test, "" where it has none, is left to the slow ones."""
    stays_quick = QUICK.get(file, {}).get(test)
    return stays_quick is not None and not stays_quick(case)
